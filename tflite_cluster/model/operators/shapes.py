"""Operators that change the shape or the type of a tensor, or put tensors together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import tflite

from .gradient import Floats, Gradient, Step, Values, reshaped, unchanged, with_activation
from .record import OperatorRecord


def _pad_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shape = values.stored(step.operand(0)).shape
    before = values.stored(step.operand(1))[:, 0]
    place = tuple(slice(int(start), int(start) + size) for start, size in zip(before, shape, strict=True))
    return [gradient[place]]


def _transpose_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    return [gradient.transpose(np.argsort(values.stored(step.operand(1)) % gradient.ndim))]


def _prepare_concatenation(options: Any, step: Step) -> Step | None:
    return None if options is None else with_activation(options, replace(step, axis=options.Axis()))


def _concatenation_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    sizes = [values.stored(operand).shape[step.axis] for operand in step.operands if operand is not None]
    parts = np.split(gradient, np.cumsum(sizes)[:-1], step.axis)
    return [parts[place] for place in step.onward]


RECORDS: Final = (
    OperatorRecord("CAST", passes_weights=True, keeps_values=True, keeps_order=True),
    OperatorRecord(
        "CONCATENATION",
        tflite.ConcatenationOptions,
        gradient=Gradient(_concatenation_back, _prepare_concatenation, takes_any_operand=True),
    ),
    OperatorRecord("DENSIFY", passes_weights=True),
    OperatorRecord("DEQUANTIZE", passes_weights=True, keeps_order=True, gradient=Gradient(unchanged)),
    OperatorRecord("EXPAND_DIMS", keeps_values=True, keeps_order=True, gradient=Gradient(reshaped)),
    OperatorRecord("PAD", gradient=Gradient(_pad_back)),
    OperatorRecord("QUANTIZE", keeps_order=True, gradient=Gradient(unchanged, clamps=True)),
    OperatorRecord("RESHAPE", keeps_values=True, keeps_order=True, gradient=Gradient(reshaped)),
    OperatorRecord("SLICE", keeps_values=True),
    OperatorRecord("SQUEEZE", keeps_values=True, keeps_order=True, gradient=Gradient(reshaped)),
    OperatorRecord("STRIDED_SLICE", keeps_values=True),
    OperatorRecord("TRANSPOSE", keeps_values=True, gradient=Gradient(_transpose_back)),
)
