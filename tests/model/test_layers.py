from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from support.crafting import Table, craft
from support.fixture_models import FOLDER, MODELS
from support.operators import batch_matmul, convolution, dense, depthwise

from tflite_cluster.model.groups import Groups
from tflite_cluster.model.layer import Layer, Recurrence
from tflite_cluster.model.layers import as_flat, as_rows, find_layer, find_layers, real_bias, real_rows
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight
from tflite_cluster.model.window import Window


def largest(source: str | bytes) -> tuple[Model, Weight, Layer | None]:
    model = open_model(FOLDER / f"{source}.tflite" if isinstance(source, str) else source)
    weight = max(select(model)[0], key=lambda weight: weight.count)
    return model, weight, find_layer(model, weight)


def found(source: str | bytes) -> Layer:
    layer = largest(source)[2]
    assert layer is not None
    return layer


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_an_operand_that_is_absent_is_not_the_last_tensor(field: str) -> None:
    """No kernel takes such a file, and none is to be observed in the wrong place."""
    model, weight, layer = largest(dense((1, 8), (4, 8), (1, 4)))
    assert layer is not None
    operator = layer.operator
    absent = replace(operator, **{field: (-1, *getattr(operator, field)[1:])})
    user = replace(weight.users[0], operator=absent)
    assert find_layer(model, replace(weight, users=(user,))) is None


@dataclass(frozen=True)
class Expected:
    """What a layer must be; bias is the number of its values, or None."""

    kind: str
    rows: tuple[int, int, int]
    columns: int
    window: Window | None = None
    groups: int = 1
    bias: int | None = None


def window(side: int, *, stride: int = 1, dilation: int = 1, same: bool = True) -> Window:
    return Window((side, side), (stride, stride), (dilation, dilation), same)


CONVOLUTION = Expected("patches", (1, 16, 72), 72, window(3), bias=16)
DEPTHWISE = Expected("depthwise", (25, 48, 1), 25, window(5), bias=48)
DENSE = Expected("pixels", (1, 32, 48), 48, bias=32)
LAYERS = {
    "conv_2d_float32": CONVOLUTION,
    "conv_2d_hybrid_int8": CONVOLUTION,
    "conv_2d_int8": CONVOLUTION,
    "conv_2d_uint8": CONVOLUTION,
    "conv_2d_int4": CONVOLUTION,
    "conv_2d_int16x8": CONVOLUTION,
    "conv_2d_float16": CONVOLUTION,
    "conv_2d_strided_dilated_float32": Expected(
        "patches", (1, 16, 72), 72, window(3, stride=2, dilation=2, same=False), bias=16
    ),
    "conv_2d_grouped_float32": Expected("patches", (1, 32, 36), 36, window(3), groups=2, bias=32),
    "depthwise_conv_2d_float32": DEPTHWISE,
    "depthwise_conv_2d_int8": DEPTHWISE,
    "depthwise_conv_2d_uint8": DEPTHWISE,
    "depthwise_conv_2d_float16": DEPTHWISE,
    "fully_connected_float32": DENSE,
    "fully_connected_int8": DENSE,
    "fully_connected_int16x8": DENSE,
    "fully_connected_hybrid_int8": DENSE,
    "fully_connected_int4": DENSE,
    "fully_connected_odd_int4": Expected("pixels", (1, 33, 25), 25, bias=33),
    "fully_connected_hybrid_int4": Expected("pixels", (1, 32, 48), 48),
    "fully_connected_float16": DENSE,
    "dequantize_int8": Expected("pixels", (1, 32, 48), 48),
    "cast_bfloat16": Expected("pixels", (1, 32, 48), 48),
    "transpose_conv_float32": Expected("pixels", (1, 144, 8), 8),
    "transpose_conv_int8": Expected("pixels", (1, 144, 8), 8),
    "while_body_float32": Expected("pixels", (1, 32, 32), 32),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_of_a_fixture(name: str) -> None:
    layer, expected = found(name), LAYERS[name]
    assert (layer.kind, layer.rows.shape, layer.columns) == (expected.kind, expected.rows, expected.columns)
    assert (layer.window, layer.groups, layer.multiplier) == (expected.window, expected.groups, 1)
    assert (layer.bias and prod(layer.bias.tensor.shape)) == expected.bias


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_layer_takes_its_input_and_gives_its_output(path: Path) -> None:
    model = open_model(path)
    for weight in select(model)[0]:
        layer = find_layer(model, weight)
        if layer is None:
            continue
        user = weight.users[0]
        assert layer.operator == user.operator
        assert (layer.input in layer.operator.outputs) == (layer.kind == "steps") == (layer.recurrence is not None)
        assert layer.kind == "steps" or layer.input in layer.operator.inputs
        assert layer.input != layer.operator.inputs[user.operand]
        assert layer.output == layer.operator.outputs[0]
        assert layer.rows.groups * layer.columns == weight.count
        if layer.bias is not None:
            assert layer.bias.span not in {other.span for other in select(model)[0]}


@pytest.mark.parametrize(
    "name",
    [
        "batch_matmul_float32",  # each batch has a matrix of its own
        "batch_matmul_first_float32",
        "conv_3d_float32",
        "embedding_lookup_float32",
        "gather_float32",
        "shared_buffer_float32",
        "sparse_float32",
        "tied_embedding_float32",
        "gru_unrolled_float32",  # one matrix at several time steps
    ],
)
def test_what_cannot_be_observed_is_no_layer(name: str) -> None:
    model = open_model(FOLDER / f"{name}.tflite")
    assert [find_layer(model, weight) for weight in select(model)[0]] == [None] * len(select(model)[0])


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("conv_2d_float32", [1]),
        ("gru_unrolled_float32", [6, 5]),  # a matrix at each time step, of which the first begins with nothing
        ("shared_buffer_float32", [2]),
        ("two_signatures_float32", [1, 2]),
        ("tied_embedding_float32", [0]),  # rows are looked up as well
        ("gather_float32", [0]),
        ("sparse_float32", [0]),
    ],
)
def test_all_uses_of_a_weight(name: str, uses: list[int]) -> None:
    model = open_model(FOLDER / f"{name}.tflite")
    weights = select(model)[0]
    found = [find_layers(model, weight) for weight in weights]
    assert sorted(map(len, found)) == sorted(uses)
    for weight, layers in zip(weights, found, strict=True):
        assert find_layer(model, weight) == (layers[0] if len(layers) == 1 else None)
        for layer, user in zip(layers, weight.users, strict=bool(layers)):
            assert layer.operator == user.operator
            assert layer.bias is None or len(layers) == 1


FORWARD, BACKWARD = Recurrence(1, False, 0), Recurrence(1, True, 0)
GATES = dict.fromkeys(range(1, 5)) | dict.fromkeys(range(5, 9), FORWARD)
RECURRENCES: dict[str, dict[int, Recurrence | None]] = {
    "unidirectional_sequence_lstm_float32": GATES,
    "unidirectional_sequence_lstm_hybrid_int8": GATES,
    "unidirectional_sequence_lstm_int8": GATES,
    "unidirectional_sequence_lstm_projection_float32": dict.fromkeys(range(1, 5))
    | dict.fromkeys(range(5, 9), Recurrence(0, False, 0)),
    "bidirectional_sequence_lstm_float32": GATES
    | dict.fromkeys(range(18, 22))
    | dict.fromkeys(range(22, 26), Recurrence(1, True, 24)),
    "unidirectional_sequence_rnn_float32": {1: None, 2: FORWARD},
    "bidirectional_sequence_rnn_float32": {1: None, 2: FORWARD, 5: None, 6: BACKWARD},
    "svdf_float32": {1: None},
    "svdf_int8": {1: None},
}
"""How what each operand meets comes back; None for the input. Others are projections, and weights over time."""


@pytest.mark.parametrize("name", RECURRENCES)
def test_gates_meet_the_input_or_the_output_of_the_step_before(name: str) -> None:
    layers = by_operand(FOLDER / f"{name}.tflite")
    assert {operand: layer.recurrence for operand, layer in layers.items()} == RECURRENCES[name]
    for layer in layers.values():
        tensors = layer.operator.inputs[:1] if layer.kind == "pixels" else layer.operator.outputs
        assert layer.input in tensors
        assert layer.bias is None
    directions = [layer for layer in layers.values() if layer.recurrence is not None and layer.recurrence.backward]
    assert all(layer.input == layer.operator.outputs[-1] for layer in directions)


def by_operand(source: Path | bytes) -> dict[int, Layer]:
    model = open_model(source)
    found = ((weight.users[0].operand, find_layer(model, weight)) for weight in select(model)[0])
    return {operand: layer for operand, layer in found if layer is not None}


SEQUENCE_LSTM, LSTM, TWO_WAY_RNN = 44, 16, 46
SEQUENCE_OPTIONS, TWO_WAY_OPTIONS = 71, 70


def recurrent(
    code: int, options: tuple[int, Table] | None, absent: int, operands: int, y: tuple[int, ...] = (1, 5, 16)
) -> bytes:
    """An operator whose operand 0 is the input, and all others but those from `absent` on the same kind of weights."""
    weights = [{"name": b"w", "shape": np.array([16, 16], np.int32), "buffer": n} for n in range(1, absent)]
    tensors = [{"name": b"x", "shape": np.array([1, 5, 16], np.int32)}, *weights]
    tensors.append({"name": b"y", "shape": np.array(y, np.int32)})
    operator: Table = {
        "inputs": np.array([*range(absent), *[-1] * (operands - absent)], np.int32),
        "outputs": np.array([absent], np.int32),
    }
    if options is not None:
        operator |= {"builtin_options_type": options[0], "builtin_options": options}
    return craft(
        {
            "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code}],
            "subgraphs": [{"tensors": tensors, "operators": [operator], "outputs": np.array([absent], np.int32)}],
            "buffers": [{}, *({"data": bytes(1024)} for _ in weights)],
        }
    )


def test_time_comes_first_if_the_options_say_so() -> None:
    for time_major, axis in ((1, 0), (0, 1)):
        options = SEQUENCE_OPTIONS, {"time_major": time_major}
        layers = by_operand(recurrent(SEQUENCE_LSTM, options, 9, 24))
        assert {layers[operand].recurrence for operand in range(5, 9)} == {Recurrence(axis, False, 0)}


@pytest.mark.parametrize("y", [(1, 16), (1, 5, 15)])
def test_an_output_that_cannot_come_back_is_not_met(y: tuple[int, ...]) -> None:
    assert by_operand(recurrent(SEQUENCE_LSTM, (SEQUENCE_OPTIONS, {}), 9, 24, y)).keys() == set(range(1, 5))


def test_without_its_options_an_operator_does_not_tell_its_axis_of_time() -> None:
    for options in (None, (TWO_WAY_OPTIONS, {})):
        assert by_operand(recurrent(SEQUENCE_LSTM, options, 9, 24)).keys() == set(range(1, 5))


def test_an_operator_of_one_step_has_no_step_before() -> None:
    assert by_operand(recurrent(LSTM, None, 9, 24, (1, 16))).keys() == set(range(1, 5))
    assert not by_operand(recurrent(LSTM, None, 5, 5, (1, 16)))  # its one matrix meets two tensors


def test_gates_of_an_operator_with_a_second_input_do_not_meet_the_first_alone() -> None:
    """Operands 3, 4, 7, 8 and 9 stand where biases, states and the second input do."""
    layers = by_operand(recurrent(TWO_WAY_RNN, (TWO_WAY_OPTIONS, {}), 10, 12))
    assert layers.keys() == {2, 6}
    assert by_operand(recurrent(TWO_WAY_RNN, (TWO_WAY_OPTIONS, {}), 9, 12)).keys() == {1, 2, 5, 6}


def test_height_and_width_keep_apart() -> None:
    layer = found(convolution((1, 9, 12, 2), (4, 2, 3, 2), (1, 4, 4, 4), stride=(2, 3), dilation=(1, 2)))
    assert layer.window == Window((2, 3), (2, 3), (1, 2), same=False)
    layer = found(depthwise((1, 9, 12, 2), (1, 2, 3, 2), (1, 4, 4, 2), stride=(2, 3), dilation=(1, 2)))
    assert layer.window == Window((2, 3), (2, 3), (1, 2), same=False)


def test_depthwise_outputs_for_each_channel() -> None:
    layer = found(depthwise((1, 4, 4, 3), (1, 2, 2, 12), (1, 4, 4, 12), same=True))
    assert (layer.multiplier, layer.rows.shape, layer.columns) == (4, (4, 12, 1), 4)


def test_the_last_axis_of_a_product_is_what_its_matrix_meets() -> None:
    assert found(batch_matmul((2, 5, 8), (8, 7), (2, 5, 7))).rows.shape == (8, 7, 1)
    assert found(batch_matmul((2, 5, 8), (7, 8), (2, 5, 7), adj_y=True)).rows.shape == (1, 7, 8)
    assert largest(batch_matmul((2, 8, 5), (8, 7), (2, 5, 7), adj_x=True))[2] is None


@pytest.mark.parametrize("shape", [(1, 6, 4), (5, 3, 1), (3, 4, 2), (1, 1, 7), (7, 1, 1)])
def test_rows_and_back(shape: tuple[int, int, int]) -> None:
    flat = np.arange(prod(shape))
    groups = Groups(*shape)
    matrix = as_rows(flat, groups)
    assert matrix.shape == (shape[1], shape[0] * shape[2])
    for row in range(shape[1]):
        np.testing.assert_array_equal(matrix[row], flat.reshape(shape)[:, row, :].reshape(-1))
    np.testing.assert_array_equal(as_flat(matrix, groups), flat)


def test_real_weights_and_biases_have_the_scale_of_their_row() -> None:
    model, weight, layer = largest("conv_2d_int8")
    assert layer is not None
    assert layer.bias is not None
    matrix = real_rows(model, weight, layer.rows)
    codes = np.frombuffer(model.bytes_of(weight.span), np.int8).reshape(16, 72)
    assert len(weight.scale) == 16
    assert matrix is not None
    np.testing.assert_allclose(matrix[:], codes * weight.scale[:, None])
    codes = np.frombuffer(model.bytes_of(layer.bias.span), "<i4")
    quantization = layer.bias.tensor.quantization
    assert quantization is not None
    np.testing.assert_allclose(real_bias(model, layer.bias), codes * quantization.scale)


def test_rows_with_several_scales_have_no_real_weights_as_a_matrix() -> None:
    model, weight, layer = largest("fully_connected_blockwise_int4")
    assert layer is not None
    assert real_rows(model, weight, layer.rows) is None


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "dilation", "before", "after", "outputs"),
    [
        (8, 3, 1, 1, 1, 1, 8),
        (8, 3, 2, 1, 0, 1, 4),
        (9, 3, 2, 1, 1, 1, 5),
        (8, 2, 1, 1, 0, 1, 8),
        (8, 3, 1, 3, 3, 3, 8),
        (5, 1, 2, 1, 0, 0, 3),
        (3, 5, 1, 1, 2, 2, 3),
    ],
)
def test_same_padding(
    length: int, kernel: int, stride: int, dilation: int, before: int, after: int, outputs: int
) -> None:
    same = Window((kernel, 1), (stride, 1), (dilation, 1), same=True)
    assert same.margins((length, 1)) == ((before, after), (0, 0))
    assert same.outputs((length, 1)) == (outputs, 1)


def test_valid_padding() -> None:
    valid = Window((3, 4), (2, 1), (2, 1), same=False)
    assert valid.margins((13, 6)) == ((0, 0), (0, 0))
    assert valid.outputs((13, 6)) == (5, 3)
    assert valid.outputs((4, 3)) == (0, 0)


def test_a_bias_that_something_else_reads_is_none() -> None:
    assert found(dense((3, 8), (4, 8), (3, 4))).bias is not None
    for change in ({"is_variable": 1}, {"type": 9}):
        assert changed_bias(change).bias is None
    assert changed_bias({}, outputs=[1, 3]).bias is None
    assert changed_bias({}, extra_reader=True).bias is None
    assert changed_bias({}, twin=True).bias is None


def changed_bias(
    change: dict[str, int], *, outputs: list[int] | None = None, extra_reader: bool = False, twin: bool = False
) -> Layer:
    """A dense layer whose bias is something else too."""
    bias = {"name": b"b", "shape": np.array([4], np.int32), "buffer": 2} | change
    tensors = [
        {"name": b"x", "shape": np.array([1, 64], np.int32)},
        {"name": b"y", "shape": np.array([1, 4], np.int32)},
        {"name": b"w", "shape": np.array([4, 64], np.int32), "buffer": 1},
        bias,
    ]
    tensors += [dict(bias, name=b"twin")] if twin else []
    operators = [{"opcode_index": 0, "inputs": np.array([0, 2, 3], np.int32), "outputs": np.array([1], np.int32)}]
    if extra_reader:
        operators.append({"opcode_index": 1, "inputs": np.array([1, 3], np.int32)})
    content = {
        "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code} for code in (9, 0)],
        "subgraphs": [
            {"tensors": tensors, "operators": operators, "outputs": np.array(outputs or [1], np.int32)},
        ],
        "buffers": [{}, {"data": bytes(1024)}, {"data": bytes(16)}],
    }
    return found(craft(content))
