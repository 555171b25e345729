"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, Final

import tflite

from ..layer import Layer, layer_of_pixels
from ..read import Model, Operator
from .gradient import Floats, Gradient, Step, Values, with_activation
from .record import BiasOperand, OperatorRecord

if TYPE_CHECKING:
    from ..weight import User, Weight

_PLAIN: Final = tflite.FullyConnectedOptionsWeightsFormat.DEFAULT
"""Other formats store the weights in blocks for certain kernels, so that rows are not rows."""


def _fully_connected_layer(_model: Model, weight: Weight, user: User, options: Any) -> Layer | None:
    is_shuffled = options is not None and options.WeightsFormat() != _PLAIN
    if len(weight.tensor.shape) != 2 or is_shuffled:
        return None
    return layer_of_pixels(user.operator, 0, weight.channels, weight.tensor.shape[1])


def _prepare(options: Any, step: Step) -> Step | None:
    has_weights = len(step.operands) > 1 and step.operands[1] is not None
    is_plain = has_weights and options is not None and options.WeightsFormat() == _PLAIN
    return with_activation(options, step) if is_plain else None


def _back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    weights = values.real(step.operand(1))
    shape = values.stored(step.operand(0)).shape
    return [(gradient.reshape(-1, len(weights)) @ weights).reshape(shape)]


def _is_adjoint(options: Any, operand: int) -> bool:
    """Whether a BATCH_MATMUL takes that operand with its last two axes exchanged."""
    return options is not None and bool(options.AdjX() if operand == 0 else options.AdjY())


def _batch_matmul_weights(_operator: Operator, options: Any) -> Mapping[int, int]:
    return {0: -1 if _is_adjoint(options, 0) else -2, 1: -2 if _is_adjoint(options, 1) else -1}


def _batch_matmul_layer(_model: Model, weight: Weight, user: User, options: Any) -> Layer | None:
    """A constant second operand, the same matrix for every batch, that multiplies the last axis of the first."""
    if user.operand != 1 or len(weight.tensor.shape) < 2 or prod(weight.tensor.shape[:-2]) != 1:
        return None
    if _is_adjoint(options, 0):
        return None
    columns = weight.count // weight.channels.groups
    return layer_of_pixels(user.operator, 0, weight.channels, columns)


def _batch_matmul_obstacle(options: Any, operand: int) -> str | None:
    """LiteRT prepares a constant second factor once, but one that an operator makes in every run."""
    if operand != 1 or _is_adjoint(options, 1):
        return None
    return "BATCH_MATMUL would transpose it in every run, and be slower"


RECORDS: Final = (
    OperatorRecord(
        "FULLY_CONNECTED",
        tflite.FullyConnectedOptions,
        weights={1: 0},
        layer=_fully_connected_layer,
        bias=BiasOperand(2),
        gradient=Gradient(_back, _prepare, clamps=True),
    ),
    OperatorRecord(
        "BATCH_MATMUL",
        tflite.BatchMatMulOptions,
        weights={0: -2, 1: -1},
        weights_of=_batch_matmul_weights,
        layer=_batch_matmul_layer,
        int8_obstacle=_batch_matmul_obstacle,
    ),
)
