from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.interpreter.interface import TensorSpec, distinct_names


def spec(dtype: type, scale: float = 0.0, zero_point: int = 0) -> TensorSpec:
    return TensorSpec("x", 0, (4,), (4,), np.dtype(dtype), scale, zero_point)


@pytest.mark.parametrize(
    ("dtype", "scale", "quantised"),
    [(np.int8, 0.5, True), (np.int32, 0.0, False), (np.float32, 0.0, False), (np.int8, np.inf, False)],
)
def test_a_tensor_is_quantised_if_it_holds_integers_with_a_scale(dtype: type, scale: float, quantised: bool):
    assert spec(dtype, scale).quantised == quantised


def test_quantise_rounds_and_clips():
    values = np.array([-1000.0, -0.26, 0.0, 0.24, 0.26, 1000.0], np.float32)
    codes = spec(np.uint8, 0.5, 10).quantise(values)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 9, 10, 10, 11, 255]


@given(
    code=st.integers(-128, 127),
    scale=st.floats(1e-6, 1e6),
    zero_point=st.integers(-128, 127),
)
def test_every_code_survives_the_way_to_real_values_and_back(code: int, scale: float, zero_point: int):
    tensor = spec(np.int8, scale, zero_point)
    codes = np.array([code], np.int8)
    real = tensor.dequantise(codes)
    assert real[0] == pytest.approx((code - zero_point) * scale)
    assert tensor.quantise(real).tolist() == [code]


def test_values_that_are_not_codes_are_only_widened():
    assert spec(np.int32).dequantise(np.array([7], np.int32)).tolist() == [7.0]


@pytest.mark.parametrize(
    ("names", "distinct"),
    [(["a", "b"], ["a", "b"]), (["a", "a"], ["a#0", "a#1"]), (["", "b"], ["#0", "b"]), ([], [])],
)
def test_names_that_are_missing_or_repeated_get_their_position(names: list[str], distinct: list[str]):
    assert distinct_names(names) == distinct
