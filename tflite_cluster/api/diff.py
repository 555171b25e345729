"""What two models differ in: weights and biases with their scales or how they are stored, and whatever else differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..model.analysis import Analysis, analyse
from ..model.layer import Bias
from ..model.layout import IDENTIFIER
from ..model.locate import Locator
from ..model.read import Model, open_model
from ..model.recognise import what_it_is
from ..model.scales import ScaleVectors, are_usable
from ..model.source import CHUNK, forget, same, take
from ..model.verify import Span
from ..model.weight import LeftAlone, Weight
from ..packing.patches import patch_sizes
from ..run.describe import compare_stored
from .twin import StoredDifference, find_twin, signal_to_noise

_MOST_PLACES: Final = 100
"""Places outside weights and biases that are told one by one."""


@dataclass(frozen=True)
class TensorDifference:
    """A weight or a bias whose stored values or scales differ."""

    name: str
    operator: str
    role: Literal["weight", "bias"]
    type: str
    shape: tuple[int, ...]
    start: int
    """Offset of its first byte in the file."""
    bytes: int
    values: int
    """How many values it stores."""
    changed: int
    """How many of them differ."""
    distinct_before: int
    distinct_after: int
    sqnr: float | None
    """Of the real values, in dB; None if some are not finite."""
    rescaled: bool
    """Whether its scales differ as well."""


@dataclass(frozen=True)
class Place:
    """Bytes [start, stop) outside all weights and biases; `changed` of them differ."""

    start: int
    stop: int
    changed: int
    what: str
    """What stands there in the first model."""


@dataclass(frozen=True)
class Difference:
    """All that two models differ in; `tensors` in the order of their bytes."""

    first: str
    second: str
    bytes_first: int
    bytes_second: int
    tensors: tuple[TensorDifference, ...]
    places: tuple[Place, ...]
    """At most 100; `changed_elsewhere` counts all bytes."""
    changed_elsewhere: int
    stored: tuple[StoredDifference, ...] = ()
    """Float weights, and float16 biases, that the second stores as integer codes behind DEQUANTIZE, in the order of the
    first file. If there are any, the models are compared by their parts, not byte by byte.
    """
    otherwise: str | None = None
    """The first difference besides weights and biases of models with stored codes, in words."""
    patches: Mapping[str, int | None] | None = None
    """Bytes of the patch from the first file to the second by each differ; None for one that is not installed or takes
    too long, and for all if they were not asked for.
    """

    @property
    def only_weights(self) -> bool:
        """Whether nothing but weights and biases differs, their scales, and whether they are stored as codes."""
        if self.stored:
            return self.otherwise is None and not self.changed_elsewhere
        return self.bytes_first == self.bytes_second and not self.changed_elsewhere

    @property
    def identical(self) -> bool:
        """Whether there is no difference at all."""
        return self.only_weights and not self.tensors and not self.stored


def diff(first: str | Path | bytes, second: str | Path | bytes, *, patch: bool = False) -> Difference:
    """Compare two models, such as an original and what became of it.

    first, second: .tflite files, or their content. The first tells which bytes are weights, and where everything
    stands. The second is compared byte by byte, and need not be sound. If lengths differ, only the part that both have
    is compared. A second that stores float weights of the first as integer codes behind DEQUANTIZE is compared by its
    parts instead. patch: also measure the patch from the first to the second.

    Raises ModelError if the first is not safe to read, or if the second cannot be read or is a file of another kind.
    """
    model = open_model(first if isinstance(first, bytes) else Path(first))
    label, other = _content(second)
    if bytes(other[4:8]) != IDENTIFIER and (kind := what_it_is(other)):
        raise ModelError(f"{label}: it is {kind}")
    analysis = analyse(model)
    twin = None if model.size == len(other) else find_twin(analysis, other)
    patches = patch_sizes(bytes(model.data), bytes(other)) if patch else None
    if twin is None:
        return replace(_by_bytes(analysis, label, other), patches=patches)
    rest = _by_bytes(analysis, label, memoryview(twin.aligned))
    return replace(rest, bytes_second=len(other), stored=twin.stored, otherwise=twin.otherwise, patches=patches)


def _by_bytes(analysis: Analysis, label: str, other: memoryview) -> Difference:
    model, weights = analysis.model, analysis.weights
    vectors = {weight.span: found for weight in weights if (found := analysis.scale_vectors(weight)) is not None}
    scales = {place: scale for place, each in vectors.items() if (scale := _new_scale(model, other, each)) is not None}
    biases = _biases(analysis, {place: vectors[place].bias_scale(scale) for place, scale in scales.items()})
    tensors = [*_weights(model, weights, scales, other), *_shifted(model, biases, other)]
    rewritten = {span for place in scales for span in vectors[place].spans}
    known = sorted({weight.span for weight in weights} | biases.keys() | rewritten)
    places, changed = _elsewhere(model, other, known, analysis.constants)
    return Difference(
        first=model.label,
        second=label,
        bytes_first=model.size,
        bytes_second=len(other),
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.start)),
        places=tuple(places),
        changed_elsewhere=changed,
    )


def _content(source: str | Path | bytes) -> tuple[str, memoryview]:
    if isinstance(source, bytes):
        return "the given bytes", memoryview(source)
    path = Path(source)
    try:
        return path.name, take(path)
    except ModelError as error:
        raise ModelError(f"{path.name}: {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"{path.name}: cannot be read: {reason}") from error


def _new_scale(model: Model, other: memoryview, vectors: ScaleVectors) -> npt.NDArray[np.float32] | None:
    """The scales that a weight has in the other model, if they are others, and those of its bias follow from them."""
    before, after = _both(model, other, vectors.weight)
    if same(before, after) or len(after) < len(before):
        return None
    scale = np.frombuffer(after, "<f4")
    if not are_usable(scale) or len(other) < max(span.stop for span in vectors.spans):
        return None
    bias = vectors.bias
    return scale if bias is None or vectors.follows(scale, other[bias.start : bias.stop]) else None


@dataclass(frozen=True)
class _Added:
    """A bias, the operator that adds it, and the real size of its codes in the other model."""

    bias: Bias
    operator: str
    scale: npt.NDArray[np.float64]


def _biases(analysis: Analysis, scales: Mapping[Span, npt.NDArray[np.float32]]) -> dict[Span, _Added]:
    """Biases of the layers whose weights are known; scales: new ones of biases, by the place of the weight."""
    found = {}
    for weight in analysis.weights:
        layer = analysis.layer(weight)
        if layer is not None and layer.bias is not None:
            is_other = weight.span in scales and not layer.bias.is_float
            scale = scales[weight.span].astype(np.float64) if is_other else layer.bias.scale
            found[layer.bias.span] = _Added(layer.bias, layer.operator.name, scale)
    return found


def _weights(
    model: Model, weights: Sequence[Weight], scales: Mapping[Span, npt.NDArray[np.float32]], other: memoryview
) -> Iterator[TensorDifference]:
    for weight in weights:
        before, after = _both(model, other, weight.span)
        is_same = same(before, after) and weight.span not in scales
        if is_same or len(after) < len(before):  # what was cut off is told by the lengths
            _forget(model, other, weight.span)
            continue
        codes, changed = (weight.decode(raw) for raw in (before, after))
        finite = not weight.storage.is_float or bool(np.isfinite(codes).all() and np.isfinite(changed).all())
        scale = scales[weight.span].astype(np.float64) if weight.span in scales else None
        compared = compare_stored(weight, before, after, scale)
        yield TensorDifference(
            name=weight.tensor.name,
            operator=", ".join(sorted({user.operator.name for user in weight.users})),
            role="weight",
            type=weight.storage.type,
            shape=weight.tensor.shape,
            start=weight.span.start,
            bytes=weight.span.size,
            values=weight.count,
            changed=_count_changed(codes, changed),
            distinct_before=compared.values_before,
            distinct_after=compared.values_after,
            sqnr=compared.sqnr if finite else None,
            rescaled=scale is not None,
        )
        _forget(model, other, weight.span)


def _forget(model: Model, other: memoryview, span: Span) -> None:
    model.forget(span)
    forget(other, span.start, min(span.stop, len(other)))


def _shifted(model: Model, biases: Mapping[Span, _Added], other: memoryview) -> Iterator[TensorDifference]:
    for span, added in biases.items():
        bias, rescaled = added.bias, not np.array_equal(added.scale, added.bias.scale)
        before, after = _both(model, other, span)
        if (same(before, after) and not rescaled) or len(after) < len(before):
            continue
        codes, changed = bias.codes(before), bias.codes(after)
        with np.errstate(invalid="ignore"):  # a damaged bias may hold signalling NaNs
            real, other_real = codes * bias.scale, changed * added.scale
        yield TensorDifference(
            name=bias.tensor.name,
            operator=added.operator,
            role="bias",
            type=bias.tensor.type,
            shape=bias.tensor.shape,
            start=span.start,
            bytes=span.size,
            values=len(codes),
            changed=_count_changed(codes, changed),
            distinct_before=len(np.unique(codes)),
            distinct_after=len(np.unique(changed)),
            sqnr=signal_to_noise(real, other_real),
            rescaled=rescaled,
        )


def _both(model: Model, other: memoryview, span: Span) -> tuple[memoryview, memoryview]:
    return model.bytes_of(span), other[span.start : span.stop]


def _count_changed(before: npt.NDArray[np.generic], after: npt.NDArray[np.generic]) -> int:
    """Values stored otherwise; a NaN that stays is none."""
    bits = f"u{before.itemsize}"
    return int(np.count_nonzero(before.view(bits) != after.view(bits)))


def _elsewhere(
    model: Model, other: memoryview, known: Sequence[Span], constants: Sequence[LeftAlone]
) -> tuple[list[Place], int]:
    """Places outside the known spans, one for each part of the file, and the number of bytes that differ."""
    locator: Locator | None = None
    places: list[Place] = []
    total = 0
    for positions in _differing(model, other, known):
        total += len(positions)
        locator = locator or Locator(model, [constant for constant in constants if constant.span not in set(known)])
        done = 0
        while done < len(positions) and len(places) < _MOST_PLACES:
            start = int(positions[done])
            stop, what = locator.part(start)
            count = int(np.searchsorted(positions[done:], stop))
            done += count
            places.append(Place(start, int(positions[done - 1]) + 1, count, what))
    return places, total


def _differing(model: Model, other: memoryview, known: Sequence[Span]) -> Iterator[npt.NDArray[np.int64]]:
    """Positions, in order, of bytes that differ, of those that both have and that are not of the known spans."""
    both = min(model.size, len(other))
    start = 0
    for span in [*known, Span(both, both)]:
        for begin in range(start, min(span.start, both), CHUNK):
            end = min(begin + CHUNK, span.start, both)
            before, after = model.data[begin:end], other[begin:end]
            if not same(before, after):
                yield begin + np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
            _forget(model, other, Span(begin, end))
        start = span.stop
