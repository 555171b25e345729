"""Recurrent operators."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import tflite

from ..layer import Layer, Recurrence, layer_of_pixels
from ..read import Model, Operator
from .record import Cell, OperatorRecord

if TYPE_CHECKING:
    from ..weight import User, Weight

_LSTM_WEIGHTS: Final = dict.fromkeys((*range(1, 9), 16), 0)
_TWO_WAY_LSTM_WEIGHTS: Final = dict.fromkeys((*range(1, 9), 16, *range(18, 26), 33, *range(40, 48)), 0)
_BASIC_LSTM_INPUTS: Final = 5
"""Input, previous activation, weights, bias, previous state: the LSTM of one matrix."""

_LSTM: Final = Cell(range(1, 5), range(5, 9))
_RNN: Final = Cell(range(1, 2), range(2, 3))
_ONE_STEP_LSTM: Final = Cell(_LSTM.from_input)
_ONE_STEP_RNN: Final = Cell(_RNN.from_input)
"""Of operators that take one step in a run, before which there is no output."""


def _lstm_weights(operator: Operator, _options: Any) -> Mapping[int, int]:
    return {2: 0} if _is_basic(operator) else _LSTM_WEIGHTS


def _is_basic(operator: Operator) -> bool:
    """Whether it is the LSTM of one matrix, which multiplies its input and its last output side by side."""
    return operator.name == "LSTM" and len(operator.inputs) == _BASIC_LSTM_INPUTS


def _layer(
    cells: tuple[Cell, ...], second_input: int | None, model: Model, weight: Weight, user: User, options: Any
) -> Layer | None:
    """A matrix for the input, or for the output of the step before. What others multiply stays inside of the operator.

    second_input: an operand that, where given, the backward direction takes in place of the input, or both beside it.
    """
    operator, shape = user.operator, weight.tensor.shape
    if len(shape) != 2 or _is_basic(operator):
        return None
    for backward, cell in enumerate(cells):
        if user.operand in cell.from_input and not operator.has(second_input):
            return layer_of_pixels(operator, 0, weight.channels, shape[1])
        if user.operand in cell.from_output:
            return _of_steps(model, weight, operator, options, bool(backward))
    return None


def _of_steps(model: Model, weight: Weight, operator: Operator, options: Any, backward: bool) -> Layer | None:
    """A matrix for the output of the step before. The backward direction has an output of its own, or the end of the
    only one.
    """
    source = operator.outputs[-1 if backward else 0]
    columns, shape = weight.tensor.shape[1], model.subgraphs[operator.subgraph].tensors[source].shape
    if options is None or source < 0 or len(shape) != 3 or shape[2] < columns:
        return None
    recurrence = Recurrence(0 if options.TimeMajor() else 1, backward, shape[2] - columns if backward else 0)
    return Layer("steps", operator, source, operator.outputs[0], weight.channels, columns, recurrence=recurrence)


def _record(
    name: str,
    weights: Mapping[int, int],
    *cells: Cell,
    options: type[Any] | None = None,
    second_input: int | None = None,
    **known: Any,
) -> OperatorRecord:
    return OperatorRecord(
        name, options, weights=weights, cells=cells, layer=partial(_layer, cells, second_input), **known
    )


_RNN_WEIGHTS: Final = {1: 0, 2: 0}

RECORDS: Final = (
    _record("LSTM", _LSTM_WEIGHTS, _ONE_STEP_LSTM, weights_of=_lstm_weights, keeps_state=True),
    _record("RNN", _RNN_WEIGHTS, _ONE_STEP_RNN, keeps_state=True),
    _record("SVDF", {1: 0, 2: 0}, _ONE_STEP_RNN, keeps_state=True),
    _record(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        _LSTM_WEIGHTS,
        _LSTM,
        options=tflite.UnidirectionalSequenceLSTMOptions,
        keeps_state=True,
    ),
    _record("UNIDIRECTIONAL_SEQUENCE_RNN", _RNN_WEIGHTS, _RNN, options=tflite.SequenceRNNOptions, keeps_state=True),
    _record(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        _TWO_WAY_LSTM_WEIGHTS,
        _LSTM,
        Cell(range(18, 22), range(22, 26)),
        options=tflite.BidirectionalSequenceLSTMOptions,
        second_input=39,
    ),
    _record(
        "BIDIRECTIONAL_SEQUENCE_RNN",
        {1: 0, 2: 0, 5: 0, 6: 0, 10: 0, 11: 0},
        _RNN,
        Cell(range(5, 6), range(6, 7)),
        options=tflite.BidirectionalSequenceRNNOptions,
        second_input=9,
    ),
)
