"""How an operator multiplies its input by a weight: as a matrix, with the patches of the input that meet its rows.

Error feedback sees every weight as a matrix of rows (outputs) by columns (what meets them of the input). This module
says how the elements of a stored tensor fall into rows, which activations the columns are, and where the bias is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import tflite

from .operands import is_adjoint, is_basic_lstm
from .options import Window, options_of, window_of
from .read import Model, Operator, Tensor
from .select import Groups, User, Weight
from .verify import Span

Kind = Literal["patches", "depthwise", "pixels", "steps"]
"""patches: columns are the patches of a convolution. depthwise: each row meets its own channel's patches.
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

    Float16 ones go through a DEQUANTIZE of their own.
    """

    span: Span
    tensor: Tensor

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


def find_layer(model: Model, weight: Weight) -> Layer | None:
    """How the weight is used, if by one operator of a kind whose input can be observed; else None."""
    layers = find_layers(model, weight)
    return layers[0] if len(layers) == 1 else None


def find_layers(model: Model, weight: Weight) -> tuple[Layer, ...]:
    """All uses of a weight, if each is of such a kind and it is the same matrix in each; else none.

    The bias is told only if there is one use.
    """
    if weight.tensor.is_sparse or any(tensor.shape != weight.tensor.shape for tensor in weight.tensors):
        return ()
    layers = [layer for user in weight.users if (layer := _layer(model, weight, user))]
    forms = {(layer.kind, layer.rows, layer.columns, layer.groups, layer.multiplier) for layer in layers}
    if len(layers) < len(weight.users) or len(forms) != 1:
        return ()
    return tuple(layers) if len(layers) > 1 else (replace(layers[0], bias=_bias(model, layers[0])),)


def _layer(model: Model, weight: Weight, user: User) -> Layer | None:
    build = _BUILDERS.get(user.operator.name)
    is_whole = is_given(user.operator, 0) and bool(user.operator.outputs) and user.operator.outputs[0] >= 0
    return build(model, weight, user) if build is not None and is_whole else None


def _convolution(model: Model, weight: Weight, user: User) -> Layer | None:
    window = window_of(user.operator, weight.tensor.shape)
    source = _tensor(model, user.operator, 0)
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


def _depthwise(model: Model, weight: Weight, user: User) -> Layer | None:
    window = window_of(user.operator, weight.tensor.shape)
    source = _tensor(model, user.operator, 0)
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


def _fully_connected(_model: Model, weight: Weight, user: User) -> Layer | None:
    if len(weight.tensor.shape) != 2 or _is_shuffled(user.operator):
        return None
    return _pixels(user, 0, weight.channels, weight.tensor.shape[1])


def _is_shuffled(operator: Operator) -> bool:
    """Whether the weights are stored in blocks for certain kernels, so that rows are not rows."""
    options = options_of(operator)
    return options is not None and options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT


def _transpose_conv(_model: Model, weight: Weight, user: User) -> Layer | None:
    """Every input pixel is multiplied by one matrix of (output, tap) rows; that the results then overlap is ignored."""
    if len(weight.tensor.shape) != 4:
        return None
    *rows, channels = weight.tensor.shape
    return _pixels(user, 2, Groups(1, prod(rows), channels), channels)


def _batch_matmul(_model: Model, weight: Weight, user: User) -> Layer | None:
    """A constant second operand, the same matrix for every batch, that meets the last axis of the first."""
    if user.operand != 1 or len(weight.tensor.shape) < 2 or prod(weight.tensor.shape[:-2]) != 1:
        return None
    if is_adjoint(user.operator, 0):
        return None
    columns = weight.count // weight.channels.groups
    return _pixels(user, 0, weight.channels, columns)


def _pixels(user: User, operand: int, rows: Groups, columns: int) -> Layer | None:
    operator = user.operator
    if not is_given(operator, operand):
        return None
    return Layer("pixels", operator, operator.inputs[operand], operator.outputs[0], rows, columns)


class _Cell(NamedTuple):
    """One direction of a recurrent operator: the operands that meet its input, and those that meet its last output."""

    from_input: range
    from_output: range


_LSTM: Final = _Cell(range(1, 5), range(5, 9))
_RNN: Final = _Cell(range(1, 2), range(2, 3))
_NO_OUTPUT: Final = range(0)
"""Of operators that take one step in a run, before which there is none."""

_CELLS: Final = {
    "LSTM": (_LSTM._replace(from_output=_NO_OUTPUT),),
    "RNN": (_RNN._replace(from_output=_NO_OUTPUT),),
    "SVDF": (_Cell(range(1, 2), _NO_OUTPUT),),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (_LSTM,),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (_RNN,),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (_LSTM, _Cell(range(18, 22), range(22, 26))),
    "BIDIRECTIONAL_SEQUENCE_RNN": (_RNN, _Cell(range(5, 6), range(6, 7))),
}
_SECOND_INPUT: Final = {"BIDIRECTIONAL_SEQUENCE_LSTM": 39, "BIDIRECTIONAL_SEQUENCE_RNN": 9}
"""An operand that, where given, the backward direction takes in place of the input, or both beside it."""


def _recurrent(model: Model, weight: Weight, user: User) -> Layer | None:
    """A matrix from the input, or from the output of the step before. What others meet stays inside of the operator."""
    operator, shape = user.operator, weight.tensor.shape
    if len(shape) != 2 or is_basic_lstm(operator):
        return None
    for backward, cell in enumerate(_CELLS[operator.name]):
        if user.operand in cell.from_input and not is_given(operator, _SECOND_INPUT.get(operator.name)):
            return _pixels(user, 0, weight.channels, shape[1])
        if user.operand in cell.from_output:
            return _steps(model, weight, operator, bool(backward))
    return None


def _steps(model: Model, weight: Weight, operator: Operator, backward: bool) -> Layer | None:
    """A matrix that meets the output of the step before. The backward direction has an output of its own, or the end
    of the only one.
    """
    options, source = options_of(operator), operator.outputs[-1 if backward else 0]
    columns, shape = weight.tensor.shape[1], model.subgraphs[operator.subgraph].tensors[source].shape
    if options is None or source < 0 or len(shape) != 3 or shape[2] < columns:
        return None
    recurrence = Recurrence(0 if options.TimeMajor() else 1, backward, shape[2] - columns if backward else 0)
    return Layer("steps", operator, source, operator.outputs[0], weight.channels, columns, recurrence=recurrence)


def is_given(operator: Operator, operand: int | None) -> bool:
    """Whether an operator has that operand, which may be optional."""
    return operand is not None and operand < len(operator.inputs) and operator.inputs[operand] >= 0


_BUILDERS: Final = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "BATCH_MATMUL": _batch_matmul,
    **dict.fromkeys(_CELLS, _recurrent),
}

MATRIX_OPERATORS: Final = frozenset(_BUILDERS)
"""Operators that multiply each of their outputs' channels out of all that they are given at a place."""

BIAS_OPERANDS: Final = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2}
"""Which operand is the bias, of operators for which one may make up for mean errors."""


def _bias(model: Model, layer: Layer) -> Bias | None:
    """The bias operand, if it is a plain constant of known type that nothing else shares."""
    operator, rows = layer.operator, layer.rows.groups
    operand = BIAS_OPERANDS.get(operator.name)
    if operand is None or not is_given(operator, operand):
        return None
    tensor = _tensor(model, operator, operand)
    if not _is_read_once(model, tensor):
        return None
    source = unpacked_from(model, tensor)
    if source is not None:
        tensor = source
    bias = Bias(model.buffers[tensor.buffer], tensor)
    holders = sum(model.buffers[other.buffer] == bias.span for other in model.tensors)
    if tensor.type not in _BIAS_TYPES or (tensor.type == "FLOAT16") != (source is not None):
        return None
    if bias.span.size != bias.dtype.itemsize * rows or holders != 1 or not _is_read_once(model, tensor):
        return None
    return bias if bias.is_float or _has_units(tensor, rows) else None


def _has_units(tensor: Tensor, rows: int) -> bool:
    """Whether each row of an integer bias has a real size of a code, which LiteRT itself does not look at."""
    scale = np.zeros(0) if tensor.quantization is None else tensor.quantization.scale
    return len(scale) in (1, rows) and bool(np.isfinite(scale).all() and np.all(scale > 0))


def _is_read_once(model: Model, tensor: Tensor) -> bool:
    """Whether one operand of one operator is all that sees a tensor."""
    graph = model.subgraphs[tensor.subgraph]
    readers = sum(operator.inputs.count(tensor.index) for operator in graph.operators)
    return readers == 1 and tensor.index not in graph.outputs and not tensor.is_variable


def unpacked_from(model: Model, tensor: Tensor) -> Tensor | None:
    """What DEQUANTIZE makes a tensor of, if that is where it comes from."""
    graph = model.subgraphs[tensor.subgraph]
    makers = [operator for operator in graph.operators if tensor.index in operator.outputs]
    if len(makers) != 1 or makers[0].name != "DEQUANTIZE" or len(makers[0].inputs) != 1 or makers[0].inputs[0] < 0:
        return None
    return graph.tensors[makers[0].inputs[0]]


def _tensor(model: Model, operator: Operator, operand: int) -> Tensor:
    return model.subgraphs[operator.subgraph].tensors[operator.inputs[operand]]


def as_rows(flat: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """Flat elements as a matrix, one row for each group."""
    return np.asarray(flat.reshape(rows.shape).transpose(1, 0, 2).reshape(rows.groups, -1))


def as_flat(matrix: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """The inverse of as_rows."""
    by_row = matrix.reshape(rows.groups, rows.outer, rows.inner)
    return np.ascontiguousarray(by_row.transpose(1, 0, 2)).reshape(-1)


def row_scale(weight: Weight, rows: Groups) -> npt.NDArray[np.float64] | None:
    """Scale of each row; None if a row has several."""
    groups = weight.scale_groups
    if len(weight.scale) == 1:
        return np.full(rows.groups, weight.scale[0])
    if groups == rows:
        return weight.scale
    if groups.outer == rows.outer == 1 and groups.inner % rows.inner == 0:
        return np.repeat(weight.scale, groups.inner // rows.inner)
    return None


def real_rows(model: Model, weight: Weight, rows: Groups) -> npt.NDArray[np.float64] | None:
    """The real weights as a matrix, (rows, columns); None where a row has several scales."""
    scale = row_scale(weight, rows)
    if scale is None:
        return None
    codes = as_rows(weight.codes(model), rows)
    return (codes.astype(np.float64) - weight.zero) * scale[:, None]


def real_bias(model: Model, bias: Bias) -> npt.NDArray[np.float64]:
    """The real values of a bias, (rows,)."""
    codes = bias.codes(model.bytes_of(bias.span))
    return np.asarray(codes.astype(np.float64) * bias.scale)
