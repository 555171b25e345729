"""Float16 biases beside stored weights: the same values to the bit, and as many operators for the fast kernels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.fixture_models import FOLDER

from tflite_cluster import cluster
from tflite_cluster.model.fields import target_at
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.storing.biases import exact_biases, float16_bias, is_exact
from tflite_cluster.model.storing.obstacle import int8_obstacle

CONVOLUTION = FOLDER / "conv_2d_float16.tflite"
FLOAT16 = sorted(FOLDER.glob("*_float16.tflite"))


def with_bias(values: np.ndarray) -> Model:
    """The convolution with another bias, repeated to its length."""
    content = bytearray(CONVOLUTION.read_bytes())
    model = open_model(bytes(content))
    span = model.buffers[the_bias(model).buffer]
    content[span.start : span.stop] = np.resize(values.astype("<f2"), span.size // 2).tobytes()
    return open_model(bytes(content))


def the_bias(model: Model) -> Any:
    (weight,) = select(model)[0]
    return float16_bias(model, weight.users[0])


@given(arrays.arrays(np.float16, 8, elements=st.floats(width=16, allow_nan=False, allow_infinity=False)))
def test_every_float16_is_met_exactly(values: np.ndarray) -> None:
    model = with_bias(values)
    ((span, stored),) = exact_biases(model, select(model)[0]).items()
    meant = np.frombuffer(model.bytes_of(span), "<f2").astype(np.float32)
    assert np.array_equal(stored.codes * stored.scale, meant)
    assert (stored.scale > 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bias_that_cannot_be_met_keeps_its_weights_as_they_are(value: float) -> None:
    model = with_bias(np.array([1, value]))
    assert not is_exact(model, the_bias(model))
    assert "float16 bias" in (int8_obstacle(model, select(model)[0][0]) or "")


def test_a_bias_that_nothing_unpacks_is_none() -> None:
    """Found by fuzzing: DEQUANTIZE without an input."""
    content = bytearray(CONVOLUTION.read_bytes())
    model = open_model(bytes(content))
    bias = the_bias(model)
    (operator,) = (each for each in model.subgraphs[0].operators if bias.index in each.inputs)
    inputs = target_at(model.data, "Operator", operator.table._tab.Pos, "inputs")
    assert inputs is not None
    struct.pack_into("<I", content, inputs, 0)
    assert the_bias(open_model(bytes(content))) is None


def test_a_bias_of_an_odd_number_of_bytes_keeps_its_weights_as_they_are() -> None:
    """Found by fuzzing: its own length is not checked where nothing clusters it."""
    content = bytearray(CONVOLUTION.read_bytes())
    model = open_model(bytes(content))
    span = model.buffers[the_bias(model).buffer]
    content[span.start - 4 : span.start] = struct.pack("<I", span.size - 1)
    model = open_model(bytes(content))
    assert not is_exact(model, the_bias(model))


@pytest.mark.slow
@pytest.mark.parametrize("path", FLOAT16, ids=lambda path: path.stem)
def test_as_many_operators_for_the_fast_kernels(path: Path, tmp_path: Path) -> None:
    if not any(int8_obstacle(open_model(path), weight) is None for weight in select(open_model(path))[0]):
        pytest.skip("none of its weights can be stored as codes")
    cluster(path, tmp_path / "out.tflite", store="int8", clusters=16, force=True, measure=False)
    assert delegates(tmp_path / "out.tflite") == delegates(path) > 0


def delegates(path: Path) -> int:
    """Into how many parts the operators are split that XNNPACK takes over."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    return [details["op_name"] for details in interpreter._get_ops_details()].count("DELEGATE")
