"""Convolutions of all kinds."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tflite

from ..groups import Groups
from ..layer import Layer, layer_of_pixels
from ..read import Model
from ..window import window_of
from .gradient import Floats, Gradient, Step, Values, with_activation
from .record import BiasOperand, OperatorRecord
from .windows import spread, window_of_step

if TYPE_CHECKING:
    from ..weight import User, Weight


def _layer(model: Model, weight: Weight, user: User, options: Any) -> Layer | None:
    window = window_of(options, weight.tensor.shape)
    source = model.operand(user.operator, 0)
    if window is None or len(source.shape) != 4 or len(weight.tensor.shape) != 4:
        return None
    outputs, *_, channels = weight.tensor.shape
    groups = source.shape[3] // channels if channels and source.shape[3] % channels == 0 else 0
    if groups < 1 or outputs % groups:
        return None
    columns = prod(weight.tensor.shape[1:])
    operator = user.operator
    return Layer(
        "patches", operator, source.index, operator.outputs[0], weight.channels, columns, window, groups=groups
    )


def _depthwise_layer(model: Model, weight: Weight, user: User, options: Any) -> Layer | None:
    window = window_of(options, weight.tensor.shape)
    source = model.operand(user.operator, 0)
    if window is None or len(source.shape) != 4 or len(weight.tensor.shape) != 4:
        return None
    outputs, channels = weight.tensor.shape[3], source.shape[3]
    if not channels or outputs % channels:
        return None
    operator, taps = user.operator, prod(window.kernel)
    multiplier = outputs // channels
    return Layer(
        "depthwise", operator, source.index, operator.outputs[0], weight.channels, taps, window, multiplier=multiplier
    )


def _transposed_layer(_model: Model, weight: Weight, user: User, _options: Any) -> Layer | None:
    """Every input pixel is multiplied by one matrix of (output, tap) rows; that the results then overlap is ignored."""
    if len(weight.tensor.shape) != 4:
        return None
    *rows, channels = weight.tensor.shape
    return layer_of_pixels(user.operator, 2, Groups(1, prod(rows), channels), channels)


def _prepare(options: Any, step: Step) -> Step | None:
    weights = step.operands[1] if len(step.operands) > 1 else None
    window = None if weights is None else window_of(options, weights.shape)
    return with_activation(options, replace(step, window=window)) if window is not None else None


def _back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(step.operand(1))
    shape = values.stored(step.operand(0)).shape
    outputs, _, _, channels = weights.shape
    groups = shape[3] // channels
    by_group = gradient.reshape(-1, groups, outputs // groups).transpose(1, 0, 2)

    def through(row: int, column: int) -> Floats:
        part = by_group @ weights[:, row, column].reshape(groups, outputs // groups, channels)
        return np.asarray(part.transpose(1, 0, 2).reshape(*gradient.shape[:3], shape[3]))

    return [spread(window_of_step(step), shape, gradient.shape, through)]


def _depthwise_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(step.operand(1))[0]
    shape = values.stored(step.operand(0)).shape
    multiplier = gradient.shape[3] // shape[3]

    def through(row: int, column: int) -> Floats:
        part = gradient * weights[row, column]
        return part if multiplier == 1 else np.asarray(part.reshape(*gradient.shape[:3], -1, multiplier).sum(-1))

    return [spread(window_of_step(step), shape, gradient.shape, through)]


RECORDS: Final = (
    OperatorRecord(
        "CONV_2D",
        tflite.Conv2DOptions,
        weights={1: 0},
        layer=_layer,
        bias=BiasOperand(2),
        gradient=Gradient(_back, _prepare, clamps=True),
    ),
    OperatorRecord(
        "DEPTHWISE_CONV_2D",
        tflite.DepthwiseConv2DOptions,
        weights={1: 3},
        layer=_depthwise_layer,
        bias=BiasOperand(2),
        gradient=Gradient(_depthwise_back, _prepare, clamps=True),
    ),
    OperatorRecord(
        "TRANSPOSE_CONV",
        weights={1: 0},
        layer=_transposed_layer,
        bias=BiasOperand(3, is_per_row=False),
        places=2,
    ),
    OperatorRecord("CONV_3D", weights={1: 4}, bias=BiasOperand(2, is_per_row=False, needs_type_of_weight=False)),
    OperatorRecord("CONV_3D_TRANSPOSE", weights={1: 3}),
)
