"""How gradients come back through one operator, from what the interpreter left in its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..interpreter.runtime import OpenModel
from ..model.operators import BUILTIN
from ..model.operators.gradient import Floats, Gradient, Step
from ..model.read import Tensor


@dataclass(frozen=True)
class Values:
    """The tensors of the latest run of a model."""

    model: OpenModel

    def stored(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Numbers or codes, as they are stored."""
        return self.model.tensor(tensor.index, tensor.subgraph)

    def real(self, tensor: Tensor) -> Floats:
        """The real values that they stand for."""
        values = self.stored(tensor)
        found: Floats = values.astype(np.float32)
        quantization = tensor.quantization
        if quantization is None or not len(quantization.scale) or values.dtype.kind == "f":
            return found
        along = [1] * found.ndim
        if len(quantization.scale) > 1:
            along[quantization.axis] = -1
        if len(quantization.zero_point):
            found = found - quantization.zero_point.astype(np.float32).reshape(
                along if len(quantization.zero_point) > 1 else 1
            )
        return found * quantization.scale.reshape(along)


_Bounds = tuple[float, float]

_BOUNDS: Final[dict[str, _Bounds]] = {
    "RELU": (0.0, np.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def before_activation(values: Values, step: Step, gradient: Floats) -> Floats:
    """The gradient of what the step computes before it clamps, from that of its output."""
    bounds = _BOUNDS.get(step.activation)
    if bounds is not None:
        real = values.real(step.output)
        gradient = gradient * ((real > bounds[0]) & (real < bounds[1]))
    if _gradient_of(step).clamps and "INT" in step.output.type:
        codes = values.stored(step.output)
        limits = np.iinfo(codes.dtype)
        gradient = gradient * ((codes > limits.min) & (codes < limits.max))
    return gradient


def to_operands(values: Values, step: Step, gradient: Floats) -> Iterator[tuple[Tensor, Floats]]:
    """The gradients of the operands that it goes on to, from that before the activation."""
    if step.onward:
        for place, part in zip(step.onward, _gradient_of(step).back(values, step, gradient), strict=True):
            yield step.operand(place), part


def _gradient_of(step: Step) -> Gradient:
    gradient = BUILTIN[step.name].gradient
    assert gradient is not None
    return gradient
