from __future__ import annotations

import time
from math import prod
from pathlib import Path

import numpy as np
import pytest
from support.crafting import Table, craft
from support.fixture_models import FOLDER, MANIFEST, MODELS

from tflite_cluster.errors import ModelError
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import LeftAlone, Weight

MANIFEST_FROM = 500
MANIFEST_BYTES = 1024
"""The manifest lists constants of at least so many values and bytes."""

ADD, CONV_2D, DEPTHWISE, DEQUANTIZE, DENSE = 0, 3, 4, 6, 9
INT8, INT4, FLOAT16 = 9, 17, 1


def of_fixture(name: str) -> tuple[tuple[Weight, ...], tuple[LeftAlone, ...]]:
    return select(open_model(FOLDER / f"{name}.tflite"))


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_weights_are_those_of_the_manifest(path: Path) -> None:
    weights, others = select(open_model(path))
    found = {
        (tensor.subgraph, tensor.index, tensor.name, tensor.shape, weight.span.size)
        for weight in weights
        for tensor in weight.tensors
        if prod(tensor.shape) >= MANIFEST_FROM
    }
    expected = {
        (entry["subgraph"], entry["tensor"], entry["name"], tuple(entry["shape"]), entry["bytes"])
        for entry in MANIFEST[path.name]["weights"]
    }
    assert found == expected
    large = {other.name for other in others if other.span.size >= MANIFEST_BYTES and other.type != "bytes"}
    assert large == {entry["name"] for entry in MANIFEST[path.name]["left_alone"]}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_buffer_is_a_weight_or_has_a_reason(path: Path) -> None:
    model = open_model(path)
    weights, others = select(model)
    spans = [weight.span for weight in weights] + [other.span for other in others]
    assert sorted(spans) == sorted({span for span in model.buffers if span.size})
    assert all(other.reason for other in others)
    assert all(other.name for other in others if other.type == "bytes")


@pytest.mark.parametrize(
    ("name", "axis", "channels"),
    [
        ("conv_2d_float32", 0, 16),
        ("depthwise_conv_2d_float32", 3, 48),
        ("conv_3d_float32", 4, 8),
        ("transpose_conv_float32", 0, 16),
        ("fully_connected_float32", 0, 32),
        ("batch_matmul_float32", 2, 32),
        ("batch_matmul_adj_y_float32", 1, 32),
        ("embedding_lookup_float32", 0, 64),
        ("gather_float32", 0, 64),
        ("unidirectional_sequence_lstm_float32", 0, 24),
        ("svdf_float32", 0, 64),
        ("dequantize_int8", 0, 32),
    ],
)
def test_output_channels_lie_along_the_axis_of_the_operator(name: str, axis: int, channels: int) -> None:
    weights, _ = of_fixture(name)
    weight = max(weights, key=lambda weight: weight.span.size)
    shape = weight.tensor.shape
    assert weight.users[0].axis % len(shape) == axis
    assert weight.channels.shape == (prod(shape[:axis]), channels, prod(shape[axis + 1 :]))


def test_a_shared_buffer_is_one_weight_with_all_its_users() -> None:
    weights, _ = of_fixture("shared_buffer_float32")
    assert [[tensor.name for tensor in weight.tensors] for weight in weights] == [["first", "second"]]
    assert [user.operator.index for user in weights[0].users] == [0, 1]
    (table,), _ = of_fixture("tied_embedding_float32")
    assert [user.operator.name for user in table.users] == ["EMBEDDING_LOOKUP", "FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("name", "constant", "reason"),
    [
        ("large_elementwise_float32", "offsets", "operand 1 of ADD"),
        ("resource_variable_float32", "Variable1", "ASSIGN_VARIABLE"),
        ("weight_is_output_float32", "weights", "output of the graph"),
        ("weight_used_twice_float32", "weights", "operand 1 of MAXIMUM"),
    ],
)
def test_a_reason_says_what_else_the_constant_is(name: str, constant: str, reason: str) -> None:
    _, others = of_fixture(name)
    (found,) = (other.reason for other in others if other.name == constant)
    assert reason in found


def test_scales_lie_along_their_own_axis() -> None:
    (weight,) = (weight for weight in of_fixture("depthwise_conv_2d_int8")[0] if weight.storage.type == "INT8")
    assert weight.scale_groups.shape == (25, 48, 1)
    assert weight.scale.shape == (48,)
    (blockwise,) = of_fixture("fully_connected_blockwise_int4")[0]
    assert blockwise.scale_groups.groups * blockwise.scale_groups.inner == blockwise.count
    assert blockwise.scale_groups.inner == 32


# Crafted models: one constant of 2 KB under one operator or more.


def quantized(scales: int = 1, zero: int = 0, axis: int = 0) -> Table:
    return {
        "scale": np.full(scales, 0.5, np.float32),
        "zero_point": np.array([zero], np.int64),
        "quantized_dimension": axis,
    }


def constant(**fields: object) -> Table:
    return {"name": b"w", "shape": ints(32, 64), "type": INT8, "buffer": 1, "quantization": quantized()} | fields


def model_of(tensors: list[Table], operators: list[tuple[int, list[int], list[int]]], **parts: object) -> Model:
    """Operators are (code, inputs, outputs); buffer 1 holds 2,048 bytes, buffer 2 64 scales in float16."""
    codes = sorted({code for code, _, _ in operators})
    tables = [
        {"opcode_index": codes.index(code), "inputs": ints(*inputs), "outputs": ints(*outputs)}
        for code, inputs, outputs in operators
    ]
    content = {
        "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code} for code in codes],
        "subgraphs": [{"tensors": tensors, "operators": tables}],
        "buffers": [{}, {"data": bytes(range(256)) * 8}, {"data": np.ones(64, np.float16).tobytes()}],
    }
    return open_model(craft(content | parts) + bytes(4096))


def under_dense(tensor: Table, *others: Table) -> Model:
    return model_of([tensor, *others], [(DENSE, [-1, 0], [])])


def reason_for(model: Model, name: str = "w") -> str:
    """Why the only constant of that name is no weight; there must be no weights at all."""
    weights, others = select(model)
    assert weights == ()
    (reason,) = (other.reason for other in others if other.name == name)
    return reason


def test_a_crafted_constant_is_a_weight() -> None:
    (weight,), (other,) = select(under_dense(constant()))
    assert (weight.count, weight.zero, weight.scale.tolist()) == (2048, 0, [0.5])
    assert (other.type, other.span.size, other.reason) == ("bytes", 128, "no tensor uses this buffer")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"is_variable": 1}, "variable"),
        ({"type": 2}, "INT32"),
        ({"quantization": {}}, "no scale"),
        ({"quantization": quantized(zero=200)}, "zero point"),
        ({"quantization": quantized(zero=2**63 - 1)}, "zero point"),
        ({"quantization": {"scale": np.full(1, np.nan, np.float32)}}, "not finite"),
        ({"quantization": {"scale": np.ones(32, np.float32), "zero_point": np.arange(32)}}, "different zero points"),
        ({"quantization": {"details": (1, {})}}, "not known"),
        ({"quantization": {"details": (2, {"scales": 0})}}, "not known"),
    ],
)
def test_an_unfit_constant_is_left_alone_with_a_reason(fields: Table, reason: str) -> None:
    assert reason in reason_for(under_dense(constant(**fields)))


def test_scales_of_blocks_that_do_not_fit_leave_a_constant_alone() -> None:
    blockwise = {"details": (2, {"scales": 1, "block_size": 32})}
    fits = constant(quantization=blockwise, type=INT4, shape=ints(64, 64))
    holder = {"shape": ints(64), "type": FLOAT16, "buffer": 2}
    (weight,), _ = select(under_dense(fits, holder))
    assert weight.scale_groups.shape == (1, 64, 64)
    assert "do not fit" in reason_for(under_dense(fits | {"shape": ints(128, 32)}, holder))
    assert "not constants that can be read" in reason_for(under_dense(fits, holder | {"shape": ints(63)}))


def test_a_single_number_with_scales_of_blocks_is_left_alone() -> None:
    blockwise = {"details": (2, {"scales": 1, "block_size": 32})}
    number = constant(quantization=blockwise, shape=ints(), type=INT8)
    holder = {"shape": ints(64), "type": FLOAT16, "buffer": 2}
    buffers = [{}, {"data": b"1"}, {"data": bytes(128)}]
    model = model_of([number, holder], [(DENSE, [-1, 0], [])], buffers=buffers)
    assert "do not fit" in reason_for(model)


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": ints(32, 63)},
        {"shape": ints(-32, -64)},
        {"shape": ints(2**31 - 1, 2**31 - 1, 2**31 - 1)},
        {"shape": ints(0)},
        {"shape": ints()},
        {"quantization": quantized(scales=32, axis=1)},
        {"quantization": quantized(scales=32, axis=2)},
        {"quantization": quantized(scales=32, axis=-2)},
        {"quantization": quantized(scales=31)},
    ],
)
def test_a_weight_that_contradicts_itself_is_refused(fields: Table) -> None:
    with pytest.raises(ModelError, match="damaged: tensor 'w'"):
        select(under_dense(constant(**fields)))


def test_tensors_on_the_same_bytes_must_agree() -> None:
    both = [(DENSE, [-1, 0], []), (DENSE, [-1, 1], [])]
    for other, reason in [
        ({"shape": ints(64, 32)}, "another type or shape"),
        ({"quantization": quantized(scales=32)}, "different quantisation"),
        ({"quantization": quantized(zero=3)}, "different quantisation"),
    ]:
        assert reason in reason_for(model_of([constant(), constant(**other)], both))


def test_the_squares_of_scales_add_up_on_shared_bytes() -> None:
    three = [(DENSE, [-1, index], []) for index in range(3)]
    finer = {"quantization": {"scale": np.full(1, 0.25, np.float32)}}
    (weight,), _ = select(model_of([constant(), constant(), constant(**finer)], three))
    assert weight.scale == pytest.approx(np.sqrt(0.25 + 0.25 + 0.0625))


def test_a_constant_is_followed_through_a_change_of_type_only() -> None:
    seen_through = model_of([constant(), {}], [(DEQUANTIZE, [0], [1]), (CONV_2D, [-1, 1], [])])
    (weight,), _ = select(seen_through)
    assert [user.operator.name for user in weight.users] == ["CONV_2D"]
    hidden = model_of([constant(), {}, {}], [(ADD, [0, 2], [1]), (CONV_2D, [-1, 1], [])])
    assert select(hidden)[0] == ()


def test_a_circle_of_operators_ends() -> None:
    weights, _ = select(model_of([constant(), {}], [(DEQUANTIZE, [0], [1]), (DEQUANTIZE, [1], [1])]))
    assert weights == ()


def test_constants_that_all_share_a_long_chain_are_refused() -> None:
    count = 300
    chain = [(DEQUANTIZE, [index], [index + 1]) for index in range(count, 2 * count)]
    operators = [(DEQUANTIZE, list(range(count)), [count]), *chain, (DENSE, [-1, 2 * count], [])]
    tensors = [constant() for _ in range(count)] + [{} for _ in range(count + 1)]
    with pytest.raises(ModelError, match="share their readers"):
        select(model_of(tensors, operators))


def test_a_holder_of_scales_is_read_once_for_all_tensors_on_the_same_bytes() -> None:
    count = 2000
    blocks = 500_000
    quantization = {"details": (2, {"scales": count})}
    tensors = [constant(quantization=quantization, shape=ints(2 * blocks), type=INT4)] * count
    holder = {"shape": ints(blocks), "type": FLOAT16, "buffer": 2}
    buffers = [{}, {"data": bytes(blocks)}, {"data": np.ones(blocks, np.float16).tobytes()}]
    operators = [(DENSE, [-1, index], []) for index in range(count)]
    model = model_of([*tensors, holder], operators, buffers=buffers)
    start = time.perf_counter()
    (weight,), _ = select(model)
    assert time.perf_counter() - start < 5
    assert len(weight.users) == count
