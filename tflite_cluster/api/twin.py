"""A model and its twin with float weights as integer codes behind DEQUANTIZE: which weights, and how close they are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..model.analysis import Analysis
from ..model.read import Model, Tensor, open_model
from ..model.storage import STORAGES
from ..model.storing.same import find_difference
from ..model.storing.store import RUNTIME_VERSION, SUFFIXES, Stored
from ..model.verify import Span


@dataclass(frozen=True)
class StoredDifference:
    """A float constant that the second model stores as integer codes."""

    name: str
    operator: str
    """Operators that use it; empty for a bias."""
    role: Literal["weight", "bias"]
    type: str
    """What the first model stores, such as FLOAT32."""
    shape: tuple[int, ...]
    values: int
    bytes_before: int
    bytes_after: int
    codes: str
    """The type of the codes, such as INT8."""
    scales: int
    """1, or one for each channel."""
    distinct_before: int
    distinct_after: int
    """Of the codes; with a scale for each channel, real values are more."""
    sqnr: float | None
    """Of the real values, in dB; None if some are not finite."""
    largest_error: float | None
    """Between real values; None if some are not finite."""


@dataclass(frozen=True)
class Twin:
    """What a model with stored codes differs in from another.

    aligned: the first model, with the bytes of the second where both have a constant that is no code.
    """

    stored: tuple[StoredDifference, ...]
    aligned: bytes
    otherwise: str | None
    """The first difference besides constants and stored codes, in words; None if there is none."""


def find_twin(analysis: Analysis, other: memoryview) -> Twin | None:
    """What the two have in common if the second stores constants of the first as integer codes; None if it does not.

    other: the content of a file, which need not be sound.
    """
    before = analysis.model
    try:
        after = open_model(other)
    except ModelError:
        return None
    stored = {each.span: each for each in _stored(before, after)} if len(before.buffers) == len(after.buffers) else {}
    if not any(weight.span in stored for weight in analysis.weights):
        return None
    aligned = _aligned(before, after, stored)
    otherwise = find_difference(open_model(aligned), after, stored)
    users = {weight.span: ", ".join(sorted(weight.operators)) for weight in analysis.weights}
    compared = (_compared(before, each, users.get(each.span)) for each in stored.values())
    return Twin(tuple(compared), aligned, otherwise)


def _stored(before: Model, after: Model) -> Iterator[Stored]:
    """Float constants whose buffers hold integer codes in the other model, with those."""
    holders = defaultdict[Span, list[Tensor]](list)
    for tensor in before.tensors:
        if tensor.type in ("FLOAT32", "FLOAT16") and not tensor.is_sparse and before.buffers[tensor.buffer].size:
            holders[before.buffers[tensor.buffer]].append(tensor)
    twins = {tensor.buffer: tensor for tensor in after.tensors}
    for place, tensors in sorted(holders.items()):
        twin, span = twins.get(tensors[0].buffer), after.buffers[tensors[0].buffer]
        if twin is None or twin.type not in SUFFIXES or twin.quantization is None or twin.is_sparse:
            continue
        if twin.shape != tensors[0].shape or min(twin.shape, default=0) < 0:
            continue
        scale = twin.quantization.scale
        axis = None if len(scale) == 1 else twin.quantization.axis
        fits = axis is None or (0 <= axis < len(twin.shape) and len(scale) == twin.shape[axis])
        storage = STORAGES[twin.type]
        if fits and span.size == storage.nbytes(twin.stored):
            codes = storage.decode(after.bytes_of(span), twin.stored).reshape(twin.shape)
            yield Stored(place, tuple(tensors), codes, scale, axis, twin.type)


def _aligned(before: Model, after: Model, stored: Mapping[Span, Stored]) -> bytes:
    content = bytearray(before.data)
    for number, (old, new) in enumerate(zip(before.buffers, after.buffers, strict=True)):
        is_version = before.metadata.get(number) == RUNTIME_VERSION  # which follows from the codes
        if old not in stored and old.size == new.size and not is_version:
            content[old.start : old.stop] = after.bytes_of(new)
    return bytes(content)


def _compared(model: Model, stored: Stored, operator: str | None) -> StoredDifference:
    tensor, raw = stored.tensors[0], model.bytes_of(stored.span)
    before = STORAGES[tensor.type].decode(raw, stored.codes.size)
    with np.errstate(all="ignore"):  # a damaged file may hold scales of any size
        after = stored.values.ravel()
    model.forget(stored.span)
    ratio = signal_to_noise(before, after)
    return StoredDifference(
        name=tensor.name,
        operator=operator or "",
        role="bias" if operator is None else "weight",
        type=tensor.type,
        shape=tensor.shape,
        values=stored.codes.size,
        bytes_before=stored.span.size,
        bytes_after=stored.nbytes,
        codes=stored.type,
        scales=len(stored.scale),
        distinct_before=len(np.unique(before)),
        distinct_after=len(np.unique(stored.codes)),
        sqnr=ratio,
        largest_error=None if ratio is None else float(np.abs(after - before).max(initial=0.0)),
    )


def signal_to_noise(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float | None:
    """SQNR of real values of the same shape, in dB; infinite if they are equal, None if some are not finite."""
    with np.errstate(all="ignore"):
        exact = before.astype(np.float64)
        signal, noise = float(np.square(exact).sum()), float(np.square(after - exact).sum())
    if not math.isfinite(signal) or not math.isfinite(noise):
        return None
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
