"""Float weights on a uniform grid of integer codes: the least squared error at a price per bit.

One step serves the whole tensor, so that equal codes are equal values and zip well. With int8 codes, a row gets a wider
step of its own only if its largest weight would need more than 127 steps. With int4 codes, weights beyond 7 steps get
the last code, because scales for rows cost more than they save.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .codebook import nearest
from .histogram import Array, Histogram, looked_up, row_blocks, shares
from .prior import AS_CHEAP, Prior
from .rate import Matrix, Priced, cluster_to_count, entropy_of, feedback_gain, mean_change

LARGEST: Final = 127
"""Codes reach from -127 to 127: -128 would have no counterpart."""

LARGEST_INT4: Final = 7
"""The same for int4."""

_LOWEST: Final = -128
"""Of integer weights that hold it."""

_STEP_OF_PRICE: Final = math.sqrt(6 / math.log(2))
"""A uniform grid of step s pays s² ln(2) / 6 in squared error for its last bit, where there are many values."""

_STEPS: Final = 2.0 ** (np.arange(-6, 7) / 6)
"""Steps to try, as multiples of that: where there are few values, another one is better."""

_INT4_STEPS: Final = 36
"""Steps of an int4 grid to try. The first is just wide enough for the largest weight, each further one a sixth of an
octave finer."""

_CHEAPER: Final = 0.7


@dataclass(frozen=True)
class OnGrid:
    """A tensor on its grid: real value = scale x code.

    codes: (rows, columns). scale: (1,), or one for each channel where some channel is widened. entropy: bits per
    weight. error: squared real error of rounding to the nearest, which feedback trades for a smaller one of the output.
    mean_change: how the mean of each output row changes, (rows,), if known. gain: what feedback saves, in dB of the
    output's error; None without feedback.
    """

    codes: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    entropy: float
    error: float
    mean_change: Array | None
    gain: float | None

    @property
    def priced(self) -> Priced:
        """What it comes to in real values."""
        return Priced(self.values, self.entropy, self.error, self.mean_change, self.gain)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The real values, (rows, columns), in float32 as kernels compute them."""
        step = np.repeat(self.scale, len(self.codes) // len(self.scale))
        return self.codes * step[:, None]


def grid_of_count(matrix: Matrix, clusters: int) -> OnGrid:
    """Put float weights (rows, columns) on the best values for their number, out of 255 with a step between them."""
    return _grid_of_count(matrix, clusters, _scale(0.0, _largest(matrix, 1)), LARGEST)


def int4_grid_of_count(matrix: Matrix, clusters: int) -> OnGrid:
    """Put float weights (rows, columns) on the best values for their number, out of 15 with the best step."""
    return _grid_of_count(matrix, clusters, _int4_scale(matrix, 0.0), LARGEST_INT4)


def _grid_of_count(matrix: Matrix, clusters: int, scale: npt.NDArray[np.float32], reach: int) -> OnGrid:
    step = float(scale[0])

    def on_grid(values: Array) -> Array:
        return np.clip(np.rint(values / step), -reach, reach) * step

    found = cluster_to_count(replace(matrix, representable=on_grid, well_packed=None), clusters)
    codes = np.rint(found.codes / scale[0]).astype(np.int8)
    return OnGrid(codes, scale, found.entropy, found.error, found.mean_change, found.gain)


@dataclass(frozen=True)
class Grid:
    """A grid, and float weights rounded to it.

    codes: (rows, columns), from `lowest` to `highest`. scale: (channels,), of equal runs of rows. price: in squared
    units per bit. error: the squared real error.
    """

    codes: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    price: float
    lowest: int
    highest: int
    error: float

    @cached_property
    def entropy(self) -> float:
        """Bits per weight."""
        return _entropy(self.codes)

    def assigned(self, matrix: Matrix) -> OnGrid:
        """The weights assigned to this grid, with error feedback if there is any."""
        step = np.repeat(self.scale, len(self.codes) // len(self.scale))[:, None]
        aim = matrix.codes if matrix.feedback is None or matrix.drift is None else matrix.drift.target
        values, real_step = (aim / step).astype(np.float32, copy=False), step[:, 0].astype(np.float64)
        reach = math.ceil(_reach(values)) + 1.0  # what is fed back may lead one step further
        grid = np.arange(max(-reach, self.lowest), min(reach, self.highest) + 1)
        prior = _prior(matrix)
        held = None if prior is None else prior.held(grid, self.price, real_step)
        codes, gain = self.codes, None
        if matrix.feedback is not None:
            numbers = matrix.feedback.assign(values, grid, real_step, matrix.zeros, held)
            codes = looked_up(grid.astype(np.int8), numbers)
            gain = feedback_gain(matrix, self.codes * step, codes * step)
        elif held is not None:
            codes = looked_up(grid.astype(np.int8), held.kept(values, nearest(values, grid), grid.astype(np.float32)))
        change = mean_change(matrix, matrix.codes, codes * step)
        alike = bool(np.all(self.scale == self.scale[0]))
        return OnGrid(codes, self.scale[:1] if alike else self.scale, _entropy(codes), self.error, change, gain)


def grid_at_price(matrix: Matrix, price: float, channels: int, finest: Array | None = None) -> OnGrid:
    """Put float weights on the grid that `int8_grid` finds."""
    return int8_grid(matrix, price, channels, finest).assigned(matrix)


def int8_grid(matrix: Matrix, price: float, channels: int, finest: Array | None = None) -> Grid:
    """The grid of int8 codes for float weights (rows, columns) at a price in squared units per bit, above 0.

    Rows fall into `channels` equal runs, each of which can have a scale. The price is lowered where the tensor would
    lose too much. finest: the scale of each channel, (channels,), of weights that are int8 codes; no other is finer.
    """
    height, largest = len(matrix.codes) // channels, _largest(matrix, channels)
    least = _most_error(matrix)
    is_full = finest is not None and bool(np.any(largest > (LARGEST + 0.5) * finest))
    lowest = _LOWEST if is_full else -LARGEST
    prior = _prior(matrix)
    earlier = None if prior is None or prior.scale is None else float(prior.scale.min())
    while True:
        best = _step(matrix.histogram, price, earlier)
        scale = _scale(best, largest) if finest is None else np.maximum(best, finest).astype(np.float32)
        grid = _rounded(matrix, scale, height, price, lowest, LARGEST)
        if grid.error <= least or price <= least * 1e-12:
            return grid
        price *= _CHEAPER


def int4_grid(matrix: Matrix, price: float, wide: Grid) -> Grid | None:
    """The grid of int4 codes with one step for the whole tensor; None if the tensor would lose too much.

    wide: what `int8_grid` gives at this price. It is used unchanged if it has one step and no code beyond 7.
    """
    if bool(np.all(wide.scale == wide.scale[0])) and _reach(wide.codes) <= LARGEST_INT4:
        return replace(wide, lowest=-LARGEST_INT4, highest=LARGEST_INT4)
    grid = _rounded(matrix, _int4_scale(matrix, price), len(matrix.codes), price, -LARGEST_INT4, LARGEST_INT4)
    return grid if grid.error <= _most_error(matrix) else None


def _int4_scale(matrix: Matrix, price: float) -> npt.NDArray[np.float32]:
    """The step with the least squared error + price x bits for codes up to 7, (1,).

    It is no wider than the largest weight needs.
    """
    steps = _scale(0.0, _largest(matrix, 1)) * LARGEST / LARGEST_INT4 * 2.0 ** (-np.arange(_INT4_STEPS) / 6)
    best = min(steps, key=lambda step: _cost(matrix.histogram, float(step), price, LARGEST_INT4))
    return np.array([best], np.float32)


def _largest(matrix: Matrix, channels: int) -> Array:
    """The largest weight of each channel, (channels,)."""
    by_channel = matrix.codes.reshape(channels, -1)
    largest: Array = np.maximum(by_channel.max(axis=1), -by_channel.min(axis=1)).astype(np.float64)
    return largest


def _reach(values: npt.NDArray[Any]) -> float:
    """The largest magnitude; abs would copy all values, and leave -128 as it is in int8."""
    return max(float(values.max()), -float(values.min()))


def _prior(matrix: Matrix) -> Prior | None:
    """The codes of an earlier version, if it has any."""
    return None if matrix.prior is None or matrix.prior.is_float else matrix.prior


def _rounded(
    matrix: Matrix, scale: npt.NDArray[np.float32], height: int, price: float, lowest: int, highest: int
) -> Grid:
    """height: rows with the same scale."""
    step = np.repeat(scale, height)[:, None]
    codes, error = np.empty(matrix.codes.shape, np.int8), 0.0
    for rows in row_blocks(codes.shape):
        values = matrix.codes[rows].astype(np.float32) / step[rows]
        rounded = np.clip(np.rint(values), lowest, highest)
        error += float(np.sum(np.square((values - rounded) * step[rows], dtype=np.float64)))
        codes[rows] = rounded
    return Grid(codes, scale, price, lowest, highest, error)


def _most_error(matrix: Matrix) -> float:
    """Squared error that the tensor may have at any price."""
    return matrix.power * 10 ** (-matrix.least_sqnr / 10)


def _step(histogram: Histogram, price: float, earlier: float | None) -> float:
    """The step with the least squared error + price x bits, or the earlier one where that is about as good."""
    steps = _STEPS * _STEP_OF_PRICE * math.sqrt(price)
    best = float(min(steps, key=lambda step: _cost(histogram, float(step), price)))
    if earlier is None or _cost(histogram, earlier, price) > AS_CHEAP * _cost(histogram, best, price):
        return best
    return earlier


def _cost(histogram: Histogram, step: float, price: float, reach: float = math.inf) -> float:
    cells = np.clip(np.rint(histogram.values / step), -reach, reach)
    error = float(histogram.weights @ (histogram.values - cells * step) ** 2)
    first = np.flatnonzero(np.append(True, np.diff(cells) > 0))
    mass = np.add.reduceat(histogram.weights, first)
    return error - price * float(mass @ np.log2(mass / mass.sum()))


def _scale(step: float, largest: Array) -> npt.NDArray[np.float32]:
    """The step of each row, rounded up to float32, so that the largest weight has a code."""
    scale = np.maximum(step, largest / LARGEST).astype(np.float32)
    return np.where(scale * LARGEST < largest, np.nextafter(scale, np.float32(np.inf)), scale)


def _entropy(codes: npt.NDArray[np.int8]) -> float:
    return entropy_of(shares(codes.view(np.uint8) ^ -_LOWEST))  # in ascending order, from 0
