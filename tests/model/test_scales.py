"""Which integer weights can have other scales, and what the file then holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.crafting import craft
from support.fixture_models import FOLDER

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.scales import ScaleVectors
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight

CHANNELS, COLUMNS = 8, 20
INPUT_SCALE = 0.5
INT8, INT32 = 9, 2
FULLY_CONNECTED = 9

WITH = [
    "conv_2d_hybrid_int8", "conv_2d_int16x8", "conv_2d_int8", "depthwise_conv_2d_int8", "fully_connected_hybrid_int8",
    "dequantize_int8", "fully_connected_int16x8", "fully_connected_int8", "two_ways_int8",
]  # fmt: skip
WITHOUT = [
    "conv_2d_int4", "conv_2d_uint8", "conv_2d_float32", "embedding_lookup_int8",
    "fully_connected_per_tensor_int8", "fully_connected_blockwise_int4", "svdf_int8", "transpose_conv_int8",
    "unidirectional_sequence_lstm_int8",
]  # fmt: skip


def found_in(model: Model) -> list[tuple[Weight, ScaleVectors]]:
    analysis = analyse(model)
    found = ((weight, analysis.scale_vectors(weight)) for weight in analysis.weights)
    return [(weight, vectors) for weight, vectors in found if vectors is not None]


def floats(model: Model, span: Any) -> np.ndarray:
    return np.frombuffer(model.bytes_of(span), "<f4")


@pytest.mark.parametrize("name", WITH)
def test_the_places_hold_the_scales(name: str) -> None:
    model = open_model(FOLDER / f"{name}.tflite")
    found = found_in(model)
    assert found
    for weight, vectors in found:
        np.testing.assert_array_equal(floats(model, vectors.weight), weight.scale.astype(np.float32))
        assert (vectors.bias is None) == (
            name in ("conv_2d_hybrid_int8", "fully_connected_hybrid_int8", "dequantize_int8")
        )
        if vectors.bias is not None:
            np.testing.assert_allclose(floats(model, vectors.bias), vectors.bias_scale(weight.scale), rtol=1e-5)
        for span, sign in ((vectors.lowest, -1), (vectors.highest, 1)):
            if span is not None:
                assert np.all(sign * floats(model, span) <= 128 * weight.scale * 1.001)


@pytest.mark.parametrize("name", WITHOUT)
def test_others_keep_theirs(name: str) -> None:
    assert not found_in(open_model(FOLDER / f"{name}.tflite"))


def dense(**changes: Any) -> dict[str, Any]:
    """The tables of a fully connected int8 model; changes: to its tensors, by name, or more tensors."""
    scale = np.geomspace(0.01, 0.1, CHANNELS).astype(np.float32)
    single = {"scale": np.array([INPUT_SCALE], np.float32), "zero_point": np.zeros(1, np.int64)}
    per_channel = {"min": -128 * scale, "max": 127 * scale, "scale": scale, "zero_point": np.zeros(CHANNELS, np.int64)}
    of_bias = {"scale": scale * np.float32(INPUT_SCALE), "zero_point": np.zeros(CHANNELS, np.int64)}
    tensors = {
        "x": {"shape": [1, COLUMNS], "type": INT8, "buffer": 0, "quantization": single},
        "w": {"shape": [CHANNELS, COLUMNS], "type": INT8, "buffer": 1, "quantization": per_channel},
        "b": {"shape": [CHANNELS], "type": INT32, "buffer": 2, "quantization": of_bias},
        "y": {"shape": [1, CHANNELS], "type": INT8, "buffer": 0, "quantization": dict(single)},
    }
    for name, change in changes.items():
        tensors[name] = tensors.get(name, {}) | change
    operators = [{"opcode_index": 0, "inputs": np.array([0, 1, 2], np.int32), "outputs": np.array([3], np.int32)}]
    rng = np.random.default_rng(0)
    return {
        "version": 3,
        "operator_codes": [{"deprecated_builtin_code": FULLY_CONNECTED, "builtin_code": FULLY_CONNECTED}],
        "subgraphs": [
            {
                "tensors": [
                    tensor | {"name": name.encode(), "shape": np.array(tensor["shape"], np.int32)}
                    for name, tensor in tensors.items()
                ],
                "inputs": np.array([0], np.int32),
                "outputs": np.array([3], np.int32),
                "operators": operators,
            }
        ],
        "buffers": [
            {},
            {"data": rng.integers(-127, 128, CHANNELS * COLUMNS).astype(np.int8).tobytes()},
            {"data": rng.integers(-1000, 1000, CHANNELS).astype("<i4").tobytes()},
        ],
    }


def vectors_of(tables: dict[str, Any]) -> list[ScaleVectors]:
    return [vectors for _, vectors in found_in(open_model(craft(tables)))]


def quantization(tables: dict[str, Any], index: int) -> dict[str, Any]:
    found: dict[str, Any] = tables["subgraphs"][0]["tensors"][index]["quantization"]
    return found


def test_a_plain_model_has_them() -> None:
    (vectors,) = vectors_of(dense())
    assert len(vectors.spans) == 4
    assert vectors.input_scale == INPUT_SCALE


def test_a_vector_that_two_tables_share_is_not_rewritten() -> None:
    for name in ("scale", "max"):
        tables = dense()
        quantization(tables, 2)[name] = quantization(tables, 1)[name]
        if name == "scale":
            quantization(tables, 0)[name] = np.ones(1, np.float32)  # so that the bias's scales would fit
        assert not vectors_of(tables)


def test_a_table_that_two_tensors_share_is_not_rewritten() -> None:
    tables = dense(z={"shape": [CHANNELS, COLUMNS], "type": INT8, "buffer": 0})
    tables["subgraphs"][0]["tensors"][4]["quantization"] = quantization(tables, 1)
    assert not vectors_of(tables)


def test_a_bias_in_other_units_forbids_it() -> None:
    tables = dense()
    quantization(tables, 2)["scale"] = quantization(tables, 2)["scale"] * np.float32(1.01)
    assert not vectors_of(tables)


@pytest.mark.parametrize("value", [0.0, -0.01, np.nan, np.inf])
def test_a_bias_without_units_is_left_alone(value: float) -> None:
    """LiteRT does not look at them, and converters write 0 where a channel holds nothing."""
    tables = dense()
    quantization(tables, 2)["scale"][3] = value
    assert not vectors_of(tables)
    model = open_model(craft(tables))
    (weight,) = select(model)[0]
    layer = find_layer(model, weight)
    assert layer is not None
    assert layer.bias is None


def test_a_bias_that_something_else_reads_forbids_it() -> None:
    tables = dense()
    tables["subgraphs"][0]["outputs"] = np.array([3, 2], np.int32)
    assert not vectors_of(tables)


def test_kernels_must_be_able_to_take_larger_scales() -> None:
    (vectors,) = vectors_of(dense())
    assert vectors.factor == pytest.approx(0.1)
    assert vectors.can_grow
    tables = dense()
    quantization(tables, 3)["scale"] = np.array([0.01], np.float32)
    (vectors,) = vectors_of(tables)
    assert vectors.factor == pytest.approx(0.1 * INPUT_SCALE / 0.01)
    assert not vectors.can_grow


@pytest.mark.parametrize("value", [0.0, -0.01, np.nan, np.inf, 1e38, 1e-38])
def test_scales_that_mean_nothing_are_left_alone(value: float) -> None:
    tables = dense()
    quantization(tables, 1)["scale"][3] = value
    quantization(tables, 2)["scale"][3] = value
    assert not vectors_of(tables)


def test_a_range_of_another_length_forbids_it() -> None:
    tables = dense()
    quantization(tables, 1)["max"] = np.ones(3, np.float32)
    assert not vectors_of(tables)


@given(scale=st.lists(st.floats(2**-20, 2**10, width=32), min_size=CHANNELS, max_size=CHANNELS))
def test_what_follows_from_the_scales_has_the_length_of_what_was_there(scale: list[float]) -> None:
    model = open_model(craft(dense()))
    ((_, vectors),) = found_in(model)
    changed = bytearray(model.data)
    assert vectors.bias is not None
    for span, content in vectors.contents(np.array(scale, np.float32)):
        assert len(content) == span.size
        changed[span.start : span.stop] = content
    ((weight, again),) = found_in(open_model(bytes(changed)))
    assert again.spans == vectors.spans
    assert again.input_scale == vectors.input_scale
    assert vectors.follows(np.array(scale, np.float32), bytes(changed)[vectors.bias.start : vectors.bias.stop])
    np.testing.assert_array_equal(weight.scale, np.array(scale, np.float32))
