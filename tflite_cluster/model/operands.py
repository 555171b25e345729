"""Which operands of which operators are weights."""

from __future__ import annotations

from typing import Final

from .options import options_of
from .read import Model, Operator

_LSTM = dict.fromkeys((*range(1, 9), 16), 0)
_TWO_WAY_LSTM = dict.fromkeys((*range(1, 9), 16, *range(18, 26), 33, *range(40, 48)), 0)

WEIGHT_OPERANDS: Final[dict[str, dict[int, int]]] = {
    "CONV_2D": {1: 0},
    "DEPTHWISE_CONV_2D": {1: 3},
    "CONV_3D": {1: 4},
    "CONV_3D_TRANSPOSE": {1: 3},
    "TRANSPOSE_CONV": {1: 0},
    "FULLY_CONNECTED": {1: 0},
    "BATCH_MATMUL": {0: -2, 1: -1},
    "EMBEDDING_LOOKUP": {1: 0},
    "EMBEDDING_LOOKUP_SPARSE": {4: 0},
    "GATHER": {0: 0},
    "RNN": {1: 0, 2: 0},
    "UNIDIRECTIONAL_SEQUENCE_RNN": {1: 0, 2: 0},
    "BIDIRECTIONAL_SEQUENCE_RNN": {1: 0, 2: 0, 5: 0, 6: 0, 10: 0, 11: 0},
    "LSTM": _LSTM,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _TWO_WAY_LSTM,
    "SVDF": {1: 0, 2: 0},
    "ADD": {0: -1, 1: -1},
    "GATHER_ND": {0: 0},
    "MUL": {0: -1, 1: -1},
    "PRELU": {1: -1},
    "SQUARED_DIFFERENCE": {0: -1, 1: -1},
    "SUB": {0: -1, 1: -1},
}
"""Operator -> weight operand -> axis of the output channels."""

CUSTOM_WEIGHT_OPERANDS: Final[dict[str, dict[int, int]]] = {
    "Convolution2DTransposeBias": {1: 0},  # of MediaPipe: input, weights [O, H, W, I], bias
}
"""The same of custom operators, which are nothing like builtin ones of the same name."""

TABLE_OPERATORS: Final = frozenset({"ADD", "GATHER_ND", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB"})
"""Operators whose constants are weights only if they were learned, which their values tell."""

COMPILED: Final[dict[str, str]] = {
    "DISPATCH_OP": "an accelerator by LiteRT",
    "NeutronGraph": "the NXP eIQ Neutron NPU",
    "edgetpu-custom-op": "the Edge TPU",
    "ethos-u": "the Arm Ethos-U",
}
"""Custom operator -> the accelerator that runs it. Weights stand in its code, in an order of their own."""

_BASIC_LSTM_INPUTS = 5  # input, previous activation, weights, bias, previous state
_BIAS_OPERAND = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3, "CONV_3D": 2}


def compiled_for(model: Model) -> str | None:
    """The accelerator that a model, or a part of it, was compiled for; None if there is none that is known."""
    operators = (operator for subgraph in model.subgraphs for operator in subgraph.operators)
    found = (COMPILED[operator.name] for operator in operators if operator.is_custom and operator.name in COMPILED)
    return next(found, None)


def weight_axis(operator: Operator, operand: int) -> int | None:
    """Axis of the output channels if this operand is a weight, else None."""
    if operator.is_custom:
        return CUSTOM_WEIGHT_OPERANDS.get(operator.name, {}).get(operand)
    if is_basic_lstm(operator):
        return 0 if operand == 2 else None
    axis = WEIGHT_OPERANDS.get(operator.name, {}).get(operand)
    if axis is not None and operator.name == "BATCH_MATMUL" and is_adjoint(operator, operand):
        return -3 - axis  # the last two axes change places
    return axis


def is_basic_lstm(operator: Operator) -> bool:
    """Whether it is the LSTM of one matrix, which its input and its last output meet side by side."""
    return operator.name == "LSTM" and len(operator.inputs) == _BASIC_LSTM_INPUTS


def is_adjoint(operator: Operator, operand: int) -> bool:
    """Whether a BATCH_MATMUL takes that operand with its last two axes changed round."""
    options = options_of(operator)
    return options is not None and bool(options.AdjX() if operand == 0 else options.AdjY())


def other_role(operator: Operator, operand: int) -> str:
    """What an operand is that is no weight, in words."""
    if operator.is_custom and operator.name in COMPILED:
        return f"it belongs to a part compiled for {COMPILED[operator.name]}: cluster the model before compiling"
    if operator.is_custom and operator.name not in CUSTOM_WEIGHT_OPERANDS:
        return f"custom operator {operator.name} reads it, and that operator's operands are not known"
    if _BIAS_OPERAND.get(operator.name) == operand:
        return f"it is the bias of {operator.name}"
    return f"it is operand {operand} of {operator.name}, which is not a weight"
