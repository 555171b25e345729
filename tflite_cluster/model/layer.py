"""A weight at work in an operator: the matrix that it is, and the input that its columns multiply.

Error feedback takes every weight as a matrix of rows (outputs) by columns (elements of the layer's input).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from .groups import Groups
from .read import Operator, Tensor
from .verify import Span
from .window import Window

Kind = Literal["patches", "depthwise", "pixels", "steps"]
"""patches: columns are the patches of a convolution. depthwise: each row has its own channel's patches.
pixels: columns are the last axis of the input. steps: columns are what a recurrent operator put out one step before."""


@dataclass(frozen=True)
class Recurrence:
    """How the output of a recurrent operator, of three axes, comes back to a weight one step later.

    time: the axis of the steps. backward: whether they are taken from the last to the first. start: where the columns
    begin in the last axis, which two directions may share.
    """

    time: int
    backward: bool
    start: int


_BIAS_TYPES: Final = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT32": "<i4", "INT64": "<i8"}


@dataclass(frozen=True)
class Bias:
    """A constant bias that one operator adds and nothing else reads: `real value = scale x code` for integers.

    Float16 ones go through a DEQUANTIZE of their own. The type is one of those for which `is_known_type` holds.
    """

    span: Span
    tensor: Tensor

    @property
    def is_known_type(self) -> bool:
        """Whether it is of a type that biases have."""
        return self.tensor.type in _BIAS_TYPES

    @property
    def is_float(self) -> bool:
        """Whether its codes are the real values."""
        return self.tensor.type in ("FLOAT32", "FLOAT16")

    @property
    def dtype(self) -> np.dtype[Any]:
        """How the file keeps its codes."""
        return np.dtype(_BIAS_TYPES[self.tensor.type])

    def codes(self, raw: memoryview) -> npt.NDArray[Any]:
        """The stored numbers, flat."""
        return np.frombuffer(raw, self.dtype)

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """Real size of a code, one for all or one for each row; 1 for floats."""
        quantization = self.tensor.quantization
        if quantization is None or self.is_float:
            return np.ones(1)
        return quantization.scale.astype(np.float64)


@dataclass(frozen=True)
class Layer:
    """One weight at work in one operator.

    rows: elements of the tensor by matrix row. columns: how many there are. groups: convolution groups, each with
    its own share of the rows and of the input channels. multiplier: depthwise outputs for each input channel.
    input: the tensor that is observed, which for steps is an output.
    """

    kind: Kind
    operator: Operator
    input: int
    output: int
    rows: Groups
    columns: int
    window: Window | None = None
    groups: int = 1
    multiplier: int = 1
    bias: Bias | None = None
    recurrence: Recurrence | None = None


def layer_of_pixels(operator: Operator, operand: int, rows: Groups, columns: int) -> Layer | None:
    """A layer whose matrix multiplies the last axis of an operand; None where that operand is absent."""
    if not operator.has(operand):
        return None
    return Layer("pixels", operator, operator.inputs[operand], operator.outputs[0], rows, columns)
