"""How gradients come back through an operator: by functions of arrays, from what a run left in the tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import tflite

from ..read import Tensor
from ..window import Window

Floats = npt.NDArray[np.float32]

_ACTIVATIONS: Final = {
    tflite.ActivationFunctionType.NONE: "NONE",
    tflite.ActivationFunctionType.RELU: "RELU",
    tflite.ActivationFunctionType.RELU6: "RELU6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


@dataclass(frozen=True)
class Step:
    """One operator to go back through.

    operands: all its inputs, None where an optional one is absent. onward: which of them gradients go on to.
    activation: what it ends with. window: of a convolution or a pool. axis: along which it puts parts together.
    slope: where its input is below zero. keeps: whether a layer's gradients are wanted here.
    """

    name: str
    operands: tuple[Tensor | None, ...]
    output: Tensor
    onward: tuple[int, ...]
    activation: str = "NONE"
    window: Window | None = None
    axis: int = 0
    slope: float = 0.0
    keeps: bool = False

    def operand(self, place: int) -> Tensor:
        """An input that is given."""
        tensor = self.operands[place]
        assert tensor is not None
        return tensor


class Values(Protocol):
    """The tensors of one run of a model."""

    def stored(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Numbers or codes, as they are stored."""

    def real(self, tensor: Tensor) -> Floats:
        """The real values that they stand for."""


def _unchanged(_options: Any, step: Step) -> Step:
    return step


@dataclass(frozen=True)
class Gradient:
    """The way back through an operator.

    back: gradients of the operands `step.onward`, from that of the output before its activation.
    """

    back: Callable[[Values, Step, Floats], list[Floats]]
    prepare: Callable[[Any, Step], Step | None] = _unchanged
    """Fills in a step from the operator's options, which may be None; None for a form that there is no way through."""
    takes_any_operand: bool = False
    """Whether any operand may be computed; else only the first."""
    clamps: bool = False
    """Whether integer outputs are clamped to what their type holds."""


def with_activation(options: Any, step: Step) -> Step | None:
    """The step with its activation; older files may leave out the options of plain arithmetic."""
    code = options.FusedActivationFunction() if options is not None else tflite.ActivationFunctionType.NONE
    return replace(step, activation=_ACTIVATIONS[code]) if code in _ACTIVATIONS else None


def unchanged(_values: Values, _step: Step, gradient: Floats) -> list[Floats]:
    """The gradient of an operator that keeps each value, or of one that is an activation alone."""
    return [gradient]


def reshaped(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """The gradient of an operator that only changes the shape."""
    return [gradient.reshape(values.stored(step.operand(0)).shape)]
