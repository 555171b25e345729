"""Arithmetic between elements, and activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import tflite

from .gradient import Floats, Gradient, Step, Values, unchanged, with_activation
from .record import OperatorRecord


def _sum_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [_unbroadcast(gradient, values.stored(step.operand(place)).shape) for place in step.onward]


def _difference_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    signs = (np.float32(1), np.float32(-1))
    return [_unbroadcast(signs[place] * gradient, values.stored(step.operand(place)).shape) for place in step.onward]


def _product_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [
        _unbroadcast(gradient * values.real(step.operand(1 - place)), values.stored(step.operand(place)).shape)
        for place in step.onward
    ]


def _unbroadcast(gradient: Floats, shape: tuple[int, ...]) -> Floats:
    """Summed over the axes along which an operand of that shape was repeated."""
    padded = (1,) * (gradient.ndim - len(shape)) + shape
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1 and gradient.shape[axis] != 1)
    return np.asarray(gradient.sum(axes, keepdims=True).reshape(shape))


def _softmax_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shares = values.real(step.output)
    return [shares * (gradient - np.sum(gradient * shares, axis=-1, keepdims=True))]


def _prepare_softmax(options: Any, step: Step) -> Step | None:
    return step if options is not None and options.Beta() == 1 else None


def _slope_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """With a slope below zero, one for all or by an operand."""
    slope = values.real(step.operand(1)) if len(step.operands) > 1 else np.float32(step.slope)
    return [np.where(values.real(step.operand(0)) < 0, gradient * slope, gradient)]


def _prepare_leaky(options: Any, step: Step) -> Step | None:
    return None if options is None else replace(step, slope=options.Alpha())


def _hard_swish_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    x = values.real(step.operand(0))
    return [gradient * np.where(np.abs(x) < 3, x / 3 + np.float32(0.5), x >= 3)]


def _logistic_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    y = values.real(step.output)
    return [gradient * y * (1 - y)]


def _tanh_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [gradient * (1 - values.real(step.output) ** 2)]


def _negative_back(_values: Values, _step: Step, gradient: Floats) -> list[Floats]:
    return [-gradient]


def _prepare_clamp(_options: Any, step: Step) -> Step:
    """An operator that is an activation alone."""
    return replace(step, activation=step.name)


_EITHER: Final = {0: -1, 1: -1}
"""Both operands can be tables, with the channels last."""

RECORDS: Final = (
    OperatorRecord(
        "ADD",
        tflite.AddOptions,
        weights=_EITHER,
        needs_learned_values=True,
        gradient=Gradient(_sum_back, with_activation, takes_any_operand=True, clamps=True),
    ),
    OperatorRecord(
        "MUL",
        tflite.MulOptions,
        weights=_EITHER,
        needs_learned_values=True,
        gradient=Gradient(_product_back, with_activation, takes_any_operand=True, clamps=True),
    ),
    OperatorRecord(
        "SUB",
        tflite.SubOptions,
        weights=_EITHER,
        needs_learned_values=True,
        gradient=Gradient(_difference_back, with_activation, takes_any_operand=True, clamps=True),
    ),
    OperatorRecord("SQUARED_DIFFERENCE", weights=_EITHER, needs_learned_values=True),
    OperatorRecord("PRELU", weights={1: -1}, needs_learned_values=True, gradient=Gradient(_slope_back)),
    OperatorRecord("LEAKY_RELU", tflite.LeakyReluOptions, gradient=Gradient(_slope_back, _prepare_leaky)),
    OperatorRecord("SOFTMAX", tflite.SoftmaxOptions, gradient=Gradient(_softmax_back, _prepare_softmax)),
    OperatorRecord("HARD_SWISH", gradient=Gradient(_hard_swish_back)),
    OperatorRecord("LOGISTIC", gradient=Gradient(_logistic_back)),
    OperatorRecord("NEG", gradient=Gradient(_negative_back)),
    OperatorRecord("RELU", gradient=Gradient(unchanged, _prepare_clamp)),
    OperatorRecord("RELU6", gradient=Gradient(unchanged, _prepare_clamp)),
    OperatorRecord("RELU_N1_TO_1", gradient=Gradient(unchanged, _prepare_clamp)),
    OperatorRecord("TANH", gradient=Gradient(_tanh_back)),
)
