"""Which constants of elementwise and custom operators are weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.crafting import Table, craft
from support.fixture_models import FOLDER

from tflite_cluster import NotSmallerError, cluster
from tflite_cluster.model.layers import find_layers
from tflite_cluster.model.read import OPERATORS, Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.storing.obstacle import int8_obstacle
from tflite_cluster.model.tables import why_not_learned

ADD, CONV_2D, DENSE, MUL, DIV, CUSTOM = 0, 3, 9, 18, 42, 32
RANDOM = np.random.default_rng(0).standard_normal((16, 32)).astype(np.float32)


def model_of(
    values: np.ndarray, *readers: tuple[int, int], name: bytes = b"", shapes: list[list[int]] | None = None
) -> Model:
    """A constant that each of the readers, (operator, operand), reads, through a tensor of its shape each if given."""
    shapes = shapes or [list(values.shape)]
    tensors: list[Table] = [
        {"name": b"table", "shape": np.array(shape, np.int32), "type": 0, "buffer": 1} for shape in shapes
    ]
    operators = [
        {
            "opcode_index": number,
            "inputs": np.array([-1] * operand + [min(number, len(shapes) - 1)], np.int32),
            "outputs": np.array([], np.int32),
        }
        for number, (_, operand) in enumerate(readers)
    ]
    codes = [
        {"deprecated_builtin_code": code, "builtin_code": code, **({"custom_code": name} if code == CUSTOM else {})}
        for code, _ in readers
    ]
    content = {
        "operator_codes": codes,
        "subgraphs": [{"tensors": tensors, "operators": operators}],
        "buffers": [{}, {"data": values.tobytes()}],
    }
    return open_model(craft(content))


def reason_of(model: Model) -> str | None:
    """Why the table is left alone; None if it is a weight."""
    weights, others = select(model)
    return None if weights else "; ".join(other.reason for other in others)


def grid(side: int = 24) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    return np.stack([columns, rows], axis=2).reshape(-1, 2)


def sines(length: int = 64, width: int = 64) -> np.ndarray:
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(width) / width)
    return np.sin(angles).astype(np.float32)


@pytest.mark.parametrize(
    ("operator", "operand"),
    [("ADD", 0), ("ADD", 1), ("MUL", 0), ("MUL", 1), ("SUB", 1), ("SQUARED_DIFFERENCE", 1), ("PRELU", 1)],
)
def test_a_learned_table_is_a_weight(operator: str, operand: int) -> None:
    (code,) = (code for code, name in OPERATORS.items() if name == operator)
    (weight,) = select(model_of(RANDOM, (code, operand)))[0]
    assert weight.is_table
    assert weight.channels.shape == (16, 32, 1)


@pytest.mark.parametrize("operator", sorted({"DIV", "MAXIMUM", "MINIMUM", "POW", "FLOOR_MOD"}))
def test_operators_that_magnify_errors_keep_their_constants(operator: str) -> None:
    (code,) = (code for code, name in OPERATORS.items() if name == operator)
    assert f"operand 1 of {operator}" in (reason_of(model_of(RANDOM, (code, 1))) or "")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RANDOM[:15, :16], "small"),
        (RANDOM.reshape(1, -1), "one number for each channel"),
        (RANDOM.reshape(1, 1, -1, 1), "one number for each channel"),
        (np.where(RANDOM > 0, np.float32(-np.inf), RANDOM), "not finite"),
        (np.where(np.tri(32, dtype=bool), np.float32(0), np.float32(-1e9)), "few different values"),
        (grid(), "again and again"),
        ((grid() + 0.5) / 24, "again and again"),
        (np.arange(1, 65, dtype=np.float32)[:, None] * np.exp2(np.arange(16, dtype=np.float32)) / 2, "half numbers"),
        (np.random.default_rng(0).permutation(1024).astype(np.float32).reshape(32, 32), "half numbers"),
        (sines(), "formula"),
        (np.outer(np.hanning(400), np.hanning(30)).astype(np.float32), "formula"),
        (np.sqrt(np.arange(2048, dtype=np.float32)).reshape(64, 32), "formula"),
    ],
)
def test_what_was_not_learned_stays(values: np.ndarray, reason: str) -> None:
    found = reason_of(model_of(values, (MUL, 1)))
    assert found is not None
    assert "operand 1 of MUL, and" in found
    assert reason in found


def anchors(side: int) -> dict[str, np.ndarray]:
    """Constants of detectors on pictures of that side: cells of three strides, and boxes of three sizes around them."""
    cells = np.concatenate([(grid(side // stride) + 0.5) * [stride] for stride in (8, 16, 32)])
    boxes = [np.concatenate([cells - size / 2, cells + size / 2], axis=1) for size in (20.0, 31.7, 50.4)]
    return {"cells": cells, "shares": cells.T / side, "boxes": np.stack(boxes, axis=1).reshape(-1, 4)}


@pytest.mark.parametrize("kind", ["cells", "shares", "boxes"])
@pytest.mark.parametrize("side", [256, 320, 640])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_anchors_of_detectors_stay(kind: str, side: int, dtype: type) -> None:
    values = anchors(side)[kind]
    stored = np.round(values / np.abs(values).max() * 127).astype(dtype) if dtype is np.int8 else values.astype(dtype)
    codes = stored if dtype is np.int8 else stored.astype(np.float32)
    assert why_not_learned(codes.reshape(-1), stored.shape, 8 * stored.itemsize, stored.nbytes) is not None


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float16]), st.integers(5, 9))
def test_random_tables_are_taken_for_learned(seed: int, kind: type, size: int) -> None:
    values = np.random.default_rng(seed).standard_normal((1 << size, 64)).astype(kind)
    assert (
        why_not_learned(values.astype(np.float32).reshape(-1), values.shape, 8 * values.itemsize, values.nbytes) is None
    )


def test_a_table_may_be_used_in_several_ways_if_each_is_that_of_a_weight() -> None:
    (weight,) = select(model_of(RANDOM, (ADD, 1), (DENSE, 1)))[0]
    assert weight.operators == {"ADD", "FULLY_CONNECTED"}
    assert "operand 1 of DIV" in (reason_of(model_of(RANDOM, (ADD, 1), (DIV, 1))) or "")


def test_tensors_on_the_same_bytes_may_differ_in_axes_of_one_element() -> None:
    model = model_of(RANDOM, (ADD, 1), (DENSE, 1), shapes=[[1, 16, 32], [16, 32]])
    (weight,) = select(model)[0]
    assert [tensor.shape for tensor in weight.tensors] == [(1, 16, 32), (16, 32)]
    assert find_layers(model, weight) == ()
    assert "several shapes" in (int8_obstacle(model, weight) or "")
    flat = model_of(RANDOM, (ADD, 1), (DENSE, 1), shapes=[[32, 16], [16, 32]])
    assert "another type or shape" in (reason_of(flat) or "")


def test_a_codebook_is_one_weight() -> None:
    (weight,), _ = select(open_model(FOLDER / "codebook_float32.tflite"))
    assert weight.operators == {"SQUARED_DIFFERENCE", "GATHER"}
    result = cluster(FOLDER / "codebook_float32.tflite", force=True)
    (tensor,) = (tensor for tensor in result.tensors if tensor.role == "weight")
    assert tensor.clustered


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prelu_float32", "mul_float16", "sub_float32"])
@pytest.mark.parametrize("store", ["same", "int8"])
def test_tables_are_searched_for_and_keep_20_db(name: str, store: str) -> None:
    result = cluster(FOLDER / f"{name}.tflite", store=store, force=True)
    (table,) = (tensor for tensor in result.tensors if tensor.name == "table")
    assert table.clustered
    assert (table.sqnr or 0) >= 20
    assert result.fidelity.status == "checked"


def test_custom_operators_are_known_by_their_own_names() -> None:
    filters = np.random.default_rng(0).standard_normal((16, 2, 2, 16)).astype(np.float32)
    (weight,) = select(model_of(filters, (CUSTOM, 1), name=b"Convolution2DTransposeBias"))[0]
    assert weight.channels.shape == (1, 16, 64)
    bias = model_of(filters, (CUSTOM, 2), name=b"Convolution2DTransposeBias")
    assert "operand 2 of Convolution2DTransposeBias" in (reason_of(bias) or "")
    for name in (b"CONV_2D", b"FULLY_CONNECTED", b"DEQUANTIZE", b"PRELU"):
        model = model_of(RANDOM, (CUSTOM, 1), name=name)
        assert f"custom operator custom {name.decode()}" in (reason_of(model) or "")


@pytest.mark.parametrize(
    ("name", "accelerator"),
    [(b"edgetpu-custom-op", "Edge TPU"), (b"ethos-u", "Ethos-U"), (b"DISPATCH_OP", "LiteRT"), (b"NeutronGraph", "NXP")],
)
def test_what_was_compiled_is_told_to_be_clustered_before(name: bytes, accelerator: str) -> None:
    model = model_of(RANDOM, (CUSTOM, 1), name=name)
    reason = reason_of(model) or ""
    assert accelerator in reason
    assert "cluster the model before compiling" in reason
    with pytest.raises(NotSmallerError, match=f"compiled for .*{accelerator}.*before compiling"):
        cluster(bytes(model.data), check=False)
