"""Weights of a pruned model that are exactly zero stay so in every kind of run."""

from __future__ import annotations

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import cluster
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight

SHARE = 0.8
FIXTURES = ["conv_2d_int8", "fully_connected_int8", "conv_2d_uint8", "conv_2d_float32", "conv_2d_float16"]


def pruned(name: str) -> bytes:
    """A fixture of whose weights that share is zero."""
    content = (FOLDER / f"{name}.tflite").read_bytes()
    data = bytearray(content)
    for weight in select(open_model(content))[0]:
        raw = memoryview(content)[weight.span.start : weight.span.stop]
        codes = weight.storage.decode(raw, weight.count).copy()
        codes[np.random.default_rng(0).random(weight.count) < SHARE] = weight.zero
        data[weight.span.start : weight.span.stop] = weight.storage.encode(codes, raw)
    return bytes(data)


def codes(model: Model, weight: Weight) -> np.ndarray:
    return weight.codes(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"min_sqnr": 15}, {"clusters": 8}, {"run": False}], ids=["search", "count", "blind"]
)
@pytest.mark.parametrize("name", FIXTURES)
def test_pruned_weights_stay_pruned(name: str, options: dict[str, object]) -> None:
    original = pruned(name)
    result = cluster(original, measure=False, force=True, **options)
    assert any(tensor.clustered for tensor in result.tensors)
    before, after = open_model(original), open_model(result.model)
    for weight in select(before)[0]:
        gone = codes(before, weight) == weight.zero
        assert gone.mean() > SHARE / 2
        assert (codes(after, weight)[gone] == weight.zero).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"clusters": 8}], ids=["search", "count"])
def test_pruned_floats_stay_pruned_as_codes(options: dict[str, object]) -> None:
    original = pruned("conv_2d_float32")
    result = cluster(original, store="int8", measure=False, force=True, **options)
    (weight,) = select(open_model(original))[0]
    (stored,) = select(open_model(result.model))[0]
    assert stored.storage.type == "INT8"
    gone = codes(open_model(original), weight) == 0
    assert (codes(open_model(result.model), stored)[gone] == stored.zero).all()
