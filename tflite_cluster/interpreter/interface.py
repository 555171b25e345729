"""What a model takes and gives, as the interpreter describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: `shape` as stored, `shape_signature` with -1 where any size will do.

    `name` is the signature's name for it, or the tensor's where the model has no signature; `index` its number in its
    subgraph. `scale` is 0 unless the tensor is quantised: real value = scale * (code - zero_point).
    """

    name: str
    index: int
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @property
    def quantised(self) -> bool:
        """Whether integers of this tensor are codes for real values."""
        return 0 < self.scale < math.inf and np.issubdtype(self.dtype, np.integer)

    def dequantise(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Turn values of this tensor into real numbers, of the same shape."""
        with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
            values = codes.astype(np.float64)
        return (values - self.zero_point) * self.scale if self.quantised else values

    def quantise(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn real numbers into the nearest codes of this tensor, of the same shape."""
        limits = np.iinfo(self.dtype)
        codes = np.round(values.astype(np.float64) / self.scale) + self.zero_point
        return codes.clip(limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True)
class Signature:
    """A way to run the model: a signature by its `key`, or (None) the bare primary subgraph."""

    key: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class ModelInterface:
    """Every way to run the model; never empty."""

    signatures: tuple[Signature, ...]


class Sequences(dict[str, npt.NDArray[Any]]):
    """A batch whose samples are sequences: input name -> [samples, invocations, *shape of the input].

    The model is invoked with each element of a sequence in turn, and keeps its state from one to the next; what the
    last invocation leaves is what counts. A batch that is any other mapping holds one input for each sample, [samples,
    *shape].
    """

    feedback: Mapping[str, str]
    """State that goes in and out by name: input -> the output whose value it gets at the next invocation."""

    def __init__(
        self, values: Mapping[str, npt.NDArray[Any]] | None = None, feedback: Mapping[str, str] | None = None
    ) -> None:
        """values: by input name."""
        super().__init__(values or {})
        self.feedback = dict(feedback or {})


def distinct_names(names: Sequence[str]) -> list[str]:
    """Add its position to each name that is empty or comes more than once, so that values can be kept by name."""
    return [name if name and names.count(name) == 1 else f"{name}#{position}" for position, name in enumerate(names)]
