"""How gradients come back through one operator, from what the interpreter left in its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..interpreter.runtime import OpenModel
from ..model.options import Window
from ..model.read import Tensor
from ..model.tape import Step
from .moments import Floats


@dataclass(frozen=True)
class Values:
    """The tensors of the latest run of a model."""

    model: OpenModel

    def stored(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Numbers or codes, as they are."""
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

_ROUNDING: Final = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "QUANTIZE", "SUB"})
"""Operators that clamp what codes cannot hold."""


def before_activation(values: Values, step: Step, gradient: Floats) -> Floats:
    """The gradient of what the step computes before it clamps, from that of its output."""
    bounds = _BOUNDS.get(step.name if step.name in _BOUNDS else step.activation)
    if bounds is not None:
        real = values.real(step.output)
        gradient = gradient * ((real > bounds[0]) & (real < bounds[1]))
    if step.name in _ROUNDING and "INT" in step.output.type:
        codes = values.stored(step.output)
        limits = np.iinfo(codes.dtype)
        gradient = gradient * ((codes > limits.min) & (codes < limits.max))
    return gradient


def to_operands(values: Values, step: Step, gradient: Floats) -> Iterator[tuple[Tensor, Floats]]:
    """The gradients of the operands that it goes on to, from that before the activation."""
    if step.onward:
        for place, part in zip(step.onward, _BACK[step.name](values, step, gradient), strict=True):
            operand = step.operands[place]
            assert operand is not None
            yield operand, part


def _operand(step: Step, place: int) -> Tensor:
    tensor = step.operands[place]
    assert tensor is not None
    return tensor


def _convolution(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(_operand(step, 1))
    shape = values.stored(_operand(step, 0)).shape
    outputs, _, _, channels = weights.shape
    groups = shape[3] // channels
    by_group = gradient.reshape(-1, groups, outputs // groups).transpose(1, 0, 2)

    def through(row: int, column: int) -> Floats:
        part = by_group @ weights[:, row, column].reshape(groups, outputs // groups, channels)
        return np.asarray(part.transpose(1, 0, 2).reshape(*gradient.shape[:3], shape[3]))

    return [_spread(_window(step), shape, gradient.shape, through)]


def _depthwise(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(_operand(step, 1))[0]
    shape = values.stored(_operand(step, 0)).shape

    def through(row: int, column: int) -> Floats:
        part = gradient * weights[row, column]
        return np.asarray(part.reshape(*gradient.shape[:3], shape[3], gradient.shape[3] // shape[3]).sum(-1))

    return [_spread(_window(step), shape, gradient.shape, through)]


def _dense(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(_operand(step, 1))
    shape = values.stored(_operand(step, 0)).shape
    return [(gradient.reshape(-1, len(weights)) @ weights).reshape(shape)]


def _average(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """Padding does not count."""
    shape = values.stored(_operand(step, 0)).shape
    window = _window(step)
    whole = _padded(np.ones((1, *shape[1:3], 1), np.float32), window, 0.0)
    count = np.zeros(gradient.shape[1:3], np.float32)
    for row, column in np.ndindex(window.kernel):
        count += _tap(whole, window, gradient.shape, row, column)[0, ..., 0]
    share = gradient / count[:, :, None]
    return [_spread(window, shape, gradient.shape, lambda _row, _column: share)]


def _largest(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """To the places that hold the largest value; all of them where several do."""
    source, found = values.real(_operand(step, 0)), values.real(step.output)
    window = _window(step)
    padded = _padded(source, window, -np.inf)

    def through(row: int, column: int) -> Floats:
        return np.asarray(gradient * (_tap(padded, window, gradient.shape, row, column) == found))

    return [_spread(window, source.shape, gradient.shape, through)]


def _window(step: Step) -> Window:
    assert step.window is not None
    return step.window


def _padded(values: Floats, window: Window, filling: float) -> Floats:
    height, width = values.shape[1:3]
    return np.pad(values, ((0, 0), *window.margins((height, width)), (0, 0)), constant_values=filling)


def _tap(padded: Floats, window: Window, outputs: tuple[int, ...], row: int, column: int) -> Floats:
    """A view of what one place of the window meets: (images, height and width of the outputs, channels)."""
    (y, x), (down, along) = (row * window.dilation[0], column * window.dilation[1]), window.stride
    bottom, right = (
        start + max((size - 1) * step + 1, 0) for start, size, step in ((y, outputs[1], down), (x, outputs[2], along))
    )
    return padded[:, y:bottom:down, x:right:along]


def _spread(
    window: Window, shape: tuple[int, ...], outputs: tuple[int, ...], through: Callable[[int, int], Floats]
) -> Floats:
    """What comes back to an input of that shape (images, height, width, channels), through each place of the window."""
    (top, bottom), (left, right) = window.margins((shape[1], shape[2]))
    total = np.zeros((shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3]), np.float32)
    for row, column in np.ndindex(window.kernel):
        _tap(total, window, outputs, row, column)[...] += through(row, column)
    return total[:, top : top + shape[1], left : left + shape[2]]


def _sum(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [_unbroadcast(gradient, values.stored(_operand(step, place)).shape) for place in step.onward]


def _difference(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    signs = (np.float32(1), np.float32(-1))
    return [_unbroadcast(signs[place] * gradient, values.stored(_operand(step, place)).shape) for place in step.onward]


def _product(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [
        _unbroadcast(gradient * values.real(_operand(step, 1 - place)), values.stored(_operand(step, place)).shape)
        for place in step.onward
    ]


def _unbroadcast(gradient: Floats, shape: tuple[int, ...]) -> Floats:
    """Summed over the axes along which an operand of that shape was repeated."""
    padded = (1,) * (gradient.ndim - len(shape)) + shape
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1 and gradient.shape[axis] != 1)
    return np.asarray(gradient.sum(axes, keepdims=True).reshape(shape))


def _mean(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shape = values.stored(_operand(step, 0)).shape
    axes = {int(axis) % max(len(shape), 1) for axis in values.stored(_operand(step, 1)).reshape(-1)}
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    share = gradient.reshape(kept) * np.float32(np.prod(kept) / np.prod(shape))
    return [np.broadcast_to(share, shape)]


def _reshaped(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [gradient.reshape(values.stored(_operand(step, 0)).shape)]


def _cropped(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shape = values.stored(_operand(step, 0)).shape
    before = values.stored(_operand(step, 1))[:, 0]
    place = tuple(slice(int(start), int(start) + size) for start, size in zip(before, shape, strict=True))
    return [gradient[place]]


def _transposed(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [gradient.transpose(np.argsort(values.stored(_operand(step, 1)) % gradient.ndim))]


def _parts(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    sizes = [values.stored(operand).shape[step.axis] for operand in step.operands if operand is not None]
    parts = np.split(gradient, np.cumsum(sizes)[:-1], step.axis)
    return [parts[place] for place in step.onward]


def _softmax(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shares = values.real(step.output)
    return [shares * (gradient - np.sum(gradient * shares, axis=-1, keepdims=True))]


def _bent(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """With a slope below zero, one for all or by an operand."""
    slope = values.real(_operand(step, 1)) if len(step.operands) > 1 else np.float32(step.slope)
    return [np.where(values.real(_operand(step, 0)) < 0, gradient * slope, gradient)]


def _hard_swish(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    x = values.real(_operand(step, 0))
    return [gradient * np.where(np.abs(x) < 3, x / 3 + np.float32(0.5), x >= 3)]


def _logistic(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    y = values.real(step.output)
    return [gradient * y * (1 - y)]


def _tanh(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [gradient * (1 - values.real(step.output) ** 2)]


def _negative(_values: Values, _step: Step, gradient: Floats) -> list[Floats]:
    return [-gradient]


def _as_it_is(_values: Values, _step: Step, gradient: Floats) -> list[Floats]:
    return [gradient]


_BACK: Final[dict[str, Callable[[Values, Step, Floats], list[Floats]]]] = {
    "ADD": _sum,
    "AVERAGE_POOL_2D": _average,
    "CONCATENATION": _parts,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _as_it_is,
    "EXPAND_DIMS": _reshaped,
    "FULLY_CONNECTED": _dense,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _bent,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _largest,
    "MEAN": _mean,
    "MUL": _product,
    "NEG": _negative,
    "PAD": _cropped,
    "PRELU": _bent,
    "QUANTIZE": _as_it_is,
    "RELU": _as_it_is,
    "RELU6": _as_it_is,
    "RELU_N1_TO_1": _as_it_is,
    "RESHAPE": _reshaped,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshaped,
    "SUB": _difference,
    "TANH": _tanh,
    "TRANSPOSE": _transposed,
}
