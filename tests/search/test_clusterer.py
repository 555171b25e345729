"""What is written beside the weights."""

from __future__ import annotations

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster.model.layer import Bias
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.search.clusterer import new_bias

KINDS = {"conv_2d_float32": "<f4", "conv_2d_float16": "<f2", "conv_2d_int8": "<i4", "conv_2d_int16x8": "<i8"}


def bias_of(name: str) -> tuple[Model, Bias]:
    model = open_model(FOLDER / f"{name}.tflite")
    layer = find_layer(model, max(select(model)[0], key=lambda weight: weight.count))
    assert layer is not None
    assert layer.bias is not None
    return model, layer.bias


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_bias_is_shifted_by_real_values(name: str, kind: str) -> None:
    model, bias = bias_of(name)
    quantization = bias.tensor.quantization
    scale = quantization.scale if quantization is not None and kind[1] != "f" else np.ones(1)
    before = np.frombuffer(model.bytes_of(bias.span), kind).astype(float) * scale
    shift = np.linspace(-0.1, 0.1, len(before))
    after = np.frombuffer(new_bias(model, bias, -shift, np.zeros(len(shift))), kind).astype(float) * scale
    exact = {"<f4": 1e-6, "<f2": np.abs(after).max() * 2.0**-10}.get(kind, 0.51 * scale.max())
    np.testing.assert_allclose(after - before, shift, atol=exact)


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_bias_is_rounded_where_its_weights_err(name: str, kind: str) -> None:
    model, bias = bias_of(name)
    raw = model.bytes_of(bias.span)
    rows = len(raw) // bias.dtype.itemsize
    after = new_bias(model, bias, None, np.full(rows, 1e6))
    stored, rounded = (np.frombuffer(content, kind.replace("f", "u")) for content in (raw, after))
    assert np.all(rounded % 8 == 0)
    assert np.any(stored % 8 != 0)
    values = [bias.codes(content) * bias.scale for content in (raw, after)]
    assert np.square(values[1] - values[0]).mean() < 1e-3 * np.square(values[0]).mean()


@pytest.mark.parametrize(("sign", "limit"), [(1, 2**31 - 1), (-1, -(2**31))])
def test_a_bias_stays_within_its_type(sign: int, limit: int) -> None:
    model, bias = bias_of("conv_2d_int8")
    codes = np.frombuffer(new_bias(model, bias, np.full(16, -sign * 1e15), np.zeros(16)), "<i4")
    assert np.all(codes == limit)
