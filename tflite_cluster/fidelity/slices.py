"""Parts of an output whose values differ in scale, such as boxes and scores side by side: each is judged by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_GAP: Final = 8.0
"""Ratio of neighbouring standard deviations from which two groups of indices are told apart. Indices of one quantity,
class scores or the elements of an embedding, lie closer together; box coordinates and scores differ by 20 to 1,000."""

_FEW: Final = 3
"""A part with fewer indices than this may be stragglers of another part."""

_MOST_QUANTITIES: Final = 256
"""Indices that an axis of quantities has at most, unless it is the shortest: longer ones count places or anchors."""

_PICTURE_AXES: Final = 4
"""Axes from which on the last one alone holds different quantities; those before it are places of a picture."""


@dataclass(frozen=True)
class Slices:
    """An output of that shape in parts along one axis. labels: the part of each index of the axis, from 0 on."""

    shape: tuple[int, ...]
    axis: int
    labels: npt.NDArray[np.intp]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return int(self.labels.max(initial=0)) + 1

    @property
    def of_elements(self) -> npt.NDArray[np.intp]:
        """The part of each element, flat."""
        along = [1] * len(self.shape)
        if along:
            along[self.axis] = -1
        return np.broadcast_to(self.labels.reshape(along), self.shape).reshape(-1)

    def name(self, part: int) -> str:
        """Such as "indices 4 to 23 of axis 2"; nothing if there is one part only."""
        places = np.flatnonzero(self.labels == part)
        if self.count == 1:
            return ""
        if len(places) == 1:
            return f"index {places[0]} of axis {self.axis}"
        if places[-1] - places[0] + 1 == len(places):
            return f"indices {places[0]} to {places[-1]} of axis {self.axis}"
        return f"{len(places)} of {len(self.labels)} indices of axis {self.axis}, from {places[0]} to {places[-1]}"


def find_slices(deviation: npt.NDArray[np.float64], shape: tuple[int, ...], is_one_unit: bool) -> Slices:
    """Split an output where neighbouring scales lie far apart, and further than those within the parts.

    deviation: standard deviation of each element over the samples, flat; NaN where it is not known. shape: of the
    output. is_one_unit: whether all values are known to be of one kind, such as class scores. Indices that never vary
    go with the smallest scale.
    """
    whole = Slices(shape, 0, np.zeros(shape[0] if shape else 1, np.intp))
    if is_one_unit or math.prod(shape) != deviation.size:
        return whole
    found, widest = whole, _GAP
    for axis in _axes_of_quantities(shape):
        scale = _scale_along(np.square(deviation).reshape(shape), axis)
        alive = np.sort(scale[scale > 0])
        cuts = {alive[place]: alive[place] / alive[place - 1] for place in _cuts(alive)}
        if max(cuts.values(), default=0.0) > widest:
            widest = float(max(cuts.values()))
            found = Slices(shape, axis, np.searchsorted(np.array(list(cuts)), scale, side="right"))
    return found


def _cuts(scales: npt.NDArray[np.float64]) -> list[int]:
    """Where rising scales jump further than they lie apart on either side, so that no straggler is split off."""
    jumps = np.flatnonzero(scales[1:] > _GAP * scales[:-1]) + 1
    return [int(place) for place in jumps if scales[place] / scales[place - 1] > _spread(scales, int(place))]


def _spread(scales: npt.NDArray[np.float64], place: int) -> float:
    """Ratio of large to small scales in the wider of the parts before and after a place.

    Of the ninth to the first decile; of all of them where a part has so few that they may be stragglers of the other.
    """
    edge = 0.1 if min(place, len(scales) - place) >= _FEW else 0.0
    ends = (np.quantile(part, (edge, 1 - edge)) for part in (scales[:place], scales[place:]))
    return float(max(high / low for low, high in ends))


def _scale_along(power: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Root mean square of each index of an axis, over the elements that are known."""
    along = np.moveaxis(power, axis, 0).reshape(power.shape[axis], -1)
    known = np.maximum(np.sum(~np.isnan(along), axis=1), 1)
    return np.asarray(np.sqrt(np.nansum(along, axis=1) / known))


def _axes_of_quantities(shape: tuple[int, ...]) -> list[int]:
    """The axes whose indices may be different quantities: of pictures the last; else those that are not long."""
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if len(shape) >= _PICTURE_AXES:
        return [axis for axis in axes if axis == len(shape) - 1]
    shortest = min((shape[axis] for axis in axes), default=0)
    return [axis for axis in axes if shape[axis] <= max(_MOST_QUANTITIES, shortest)]
