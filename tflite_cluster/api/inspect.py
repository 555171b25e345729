"""What is inside a model, before anything is changed: what it takes and gives, its weights, and other constants."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..files import as_file
from ..model.analysis import analyse
from ..model.layers import as_rows
from ..model.read import Model, open_model
from ..model.weight import Weight
from ..packing.sizes import compressed_size, deflated_bits
from .interfaces import InspectedInput, InspectedOutput, inputs_and_outputs

Quantisation = Literal["none", "per tensor", "per channel", "per block"]

_FEW: Final = 4
"""Values of a clustered tensor come at least this often in the mean."""

_MOST_VALUES: Final = {"FLOAT32": 4096, "FLOAT16": 1024, "BFLOAT16": 256}
"""Distinct values that floats are clustered to at most; the short types have few more than that by nature."""

_MOST_CODES: Final = 64
"""Distinct integer codes that no large tensor is content with by nature, if its type has many more."""

_TAIL: Final = 0.05
"""Share of integer codes at either end that is no evidence: tails have gaps by nature."""

_TELLING_WEIGHTS: Final = 1024
_TELLING_BITS: Final = 8
"""Weights and their bits that a tensor must have to show whether it was clustered."""


@dataclass(frozen=True)
class InspectedWeight:
    """One weight tensor as it is stored."""

    name: str
    operator: str
    """Operators that use it, as words."""
    type: str
    quantisation: Quantisation
    sparse: bool
    shape: tuple[int, ...]
    weights: int
    """Elements stored: fewer than the shape's if sparse."""
    bytes: int
    share: float
    """Of the file, 0 to 1."""
    values: int
    """Distinct values in the tensor."""
    values_per_channel: float
    """Distinct values in an output channel, the median."""
    entropy: float
    """Bits per weight that the frequencies of its values call for."""
    deflated: float
    """Bits per weight that deflate (level 6) takes."""
    clustered: bool | None
    """Whether it looks clustered: few values, each of which comes often. None if it cannot tell."""
    reason: str | None = None
    """Why it would be left alone; None if it would be clustered."""


@dataclass(frozen=True)
class InspectedConstant:
    """A constant that is no weight, and why not."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int
    share: float
    reason: str


@dataclass(frozen=True)
class Total:
    """Weights that have the operator or the type `name` in common."""

    name: str
    tensors: int
    weights: int
    bytes: int
    share: float
    deflated_bytes: int


@dataclass(frozen=True)
class Inspection:
    """What a model holds."""

    source: str
    file_bytes: int
    sizes: Mapping[str, int]
    """Bytes of the file under each coder that was measured, by its name, in the order of reports."""
    inputs: tuple[InspectedInput, ...]
    outputs: tuple[InspectedOutput, ...]
    weights: tuple[InspectedWeight, ...]
    """In the order of the file."""
    constants: tuple[InspectedConstant, ...]

    @property
    def zip_bytes(self) -> int | None:
        """What zip -9 makes of the file; None if it was not to be measured."""
        return self.sizes.get("zip9")

    @property
    def most_values(self) -> int:
        """Distinct values of the tensor that has most of them; 0 without weights."""
        return max((weight.values for weight in self.weights), default=0)

    @property
    def already_clustered(self) -> bool:
        """Whether every weight tensor that is large enough to tell looks clustered."""
        telling = [weight.clustered for weight in self.weights if weight.clustered is not None]
        return bool(telling) and all(telling)

    @property
    def by_operator(self) -> tuple[Total, ...]:
        """Weights by the operators that use them, the heaviest first."""
        return self._totals(lambda weight: weight.operator)

    @property
    def by_type(self) -> tuple[Total, ...]:
        """Weights by type and form of quantisation, the heaviest first."""
        return self._totals(
            lambda weight: weight.type if weight.quantisation == "none" else f"{weight.type} {weight.quantisation}"
        )

    def _totals(self, name: Callable[[InspectedWeight], str]) -> tuple[Total, ...]:
        groups: dict[str, list[InspectedWeight]] = defaultdict(list)
        for weight in self.weights:
            groups[name(weight)].append(weight)
        totals = (
            Total(
                each,
                len(group),
                sum(weight.weights for weight in group),
                sum(weight.bytes for weight in group),
                sum(weight.share for weight in group),
                sum(round(weight.deflated * weight.weights / 8) for weight in group),
            )
            for each, group in groups.items()
        )
        return tuple(sorted(totals, key=lambda total: (-total.bytes, total.name)))


def inspect(source: str | Path | bytes, *, measure: bool = True, coders: Collection[str] = ()) -> Inspection:
    """Say what is inside a model, without running or changing it.

    source: a .tflite file, or its content. measure: compress the whole file too, which takes longest. coders: names of
    coders to do that with, besides zip9.
    Raises ConfigError for a coder that there is not, ModelError when the model cannot be read or is not safe to read.
    """
    wanted = Config(measure=measure, coders=tuple(coders)).measured
    path = source if isinstance(source, bytes) else Path(source)
    model = open_model(path)
    analysis = analyse(model)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measuring = {name: pool.submit(_compressed, path, name) for name in wanted if name == "zip9" or name in coders}
        inspected = tuple(pool.map(partial(_inspect, model), analysis.weights))
        sizes = {name: size.result() for name, size in measuring.items()}
    constants = (
        InspectedConstant(
            other.name, other.type, other.shape, other.span.size, other.span.size / model.size, other.reason
        )
        for other in analysis.constants
    )
    inputs, outputs = inputs_and_outputs(model, bool(analysis.weights))
    return Inspection(model.label, model.size, sizes, inputs, outputs, inspected, tuple(constants))


def _compressed(source: Path | bytes, coder: str) -> int:
    with as_file(source) as path:
        return compressed_size(path, coder)


def _inspect(model: Model, weight: Weight) -> InspectedWeight:
    raw = model.bytes_of(weight.span)
    codes = weight.decode(raw)
    reason = _why_not(codes)
    if weight.storage.is_float and not np.isfinite(codes).all():
        codes = codes.view(np.uint32)  # each pattern is a value of its own then
    ordered = np.sort(codes)
    counts = _run_lengths(ordered)
    inspected = InspectedWeight(
        name=weight.tensor.name,
        operator=", ".join(sorted({user.operator.name for user in weight.users})),
        type=weight.tensor.type,
        quantisation=_quantisation(weight),
        sparse=weight.tensor.is_sparse,
        shape=weight.tensor.shape,
        weights=weight.count,
        bytes=weight.span.size,
        share=weight.span.size / model.size,
        values=len(counts),
        values_per_channel=_values_per_channel(as_rows(codes, weight.channels)),
        entropy=_entropy(counts),
        deflated=deflated_bits(raw, weight.count),
        clustered=_looks_clustered(weight, ordered, len(counts)),
        reason=reason,
    )
    model.forget(weight.span)
    return inspected


def _why_not(codes: npt.NDArray[Any]) -> str | None:
    if not np.isfinite(codes).all():
        return "it holds values that are not finite (NaN or infinity)"
    if not codes.size or codes.min() == codes.max():
        return "it has a single value"
    return None


def _quantisation(weight: Weight) -> Quantisation:
    quantization = weight.tensor.quantization
    if weight.storage.is_float or quantization is None:
        return "none"
    if quantization.blockwise:
        return "per block"
    return "per tensor" if len(weight.scale) == 1 else "per channel"


def _run_lengths(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """How often each distinct value comes in an ascending array."""
    if not len(ordered):
        return np.zeros(0, np.intp)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return np.diff(np.append(starts, len(ordered)))


def _values_per_channel(rows: npt.NDArray[Any]) -> float:
    if not rows.size:
        return 0.0
    ordered = np.sort(rows, axis=1)
    return float(np.median(np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1) + 1))


def _entropy(counts: npt.NDArray[np.intp]) -> float:
    shares = counts / counts.sum()
    return max(0.0, -float(shares @ np.log2(shares)))


def _looks_clustered(weight: Weight, ordered: npt.NDArray[Any], values: int) -> bool | None:
    """Whether there are few values for so many weights: of integers, few of the codes that they lie among."""
    storage = weight.storage
    if len(ordered) < _TELLING_WEIGHTS or storage.bits < _TELLING_BITS or values == 1:
        return None
    if _FEW * values > len(ordered):
        return False
    if storage.is_float:
        return values <= _MOST_VALUES[storage.type]
    tail = int(_TAIL * len(ordered))
    core = ordered[tail : len(ordered) - tail]
    return _has_gaps(core) or (values <= _MOST_CODES and _has_gaps(ordered))


def _has_gaps(ordered: npt.NDArray[Any]) -> bool:
    """Whether ascending codes leave out half of those between the first and the last."""
    return 2 * len(_run_lengths(ordered)) <= int(ordered[-1]) - int(ordered[0]) + 1
