"""Which weights get tables of values, and that tflite-micro's compressor agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.groups import Groups
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.weight import Weight
from tflite_cluster.targets.chips.chip import LeftOut
from tflite_cluster.targets.chips.tools.value_tables import (
    ValueTable,
    most_distinct,
    plan_table,
    specification,
    table_axis,
)

DIGITS = Path(__file__).parents[2] / "examples" / "digits.tflite"


def weights_of(name: str) -> tuple[Model, tuple[Weight, ...]]:
    model = open_model(FOLDER / f"{name}.tflite")
    return model, analyse(model).weights


def reason(name: str, values: int = 16) -> str:
    (weight, *_) = weights_of(name)[1]
    planned = plan_table(weight, values)
    assert isinstance(planned, LeftOut)
    assert planned.name == weight.tensor.name
    return planned.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("conv_2d_int4", "no INT4 weights"),
        ("conv_2d_uint8", "no UINT8 weights"),
        ("conv_2d_float16", "no FLOAT16 weights"),
        ("sparse_float32", "no sparse FLOAT32 weights"),
        ("shared_buffer_float32", "shared by 2 tensors"),
        ("depthwise_conv_2d_int8", "would grow"),
    ],
)
def test_left_out_with_the_reason(name: str, words: str) -> None:
    assert words in reason(name)


def test_an_axis_exactly_where_there_are_several_scales() -> None:
    for path in sorted(FOLDER.glob("*.tflite")):
        for weight in analyse(open_model(path)).weights:
            quantization = weight.tensor.quantization
            several = quantization is not None and len(quantization.scale) > 1
            assert (table_axis(weight.tensor) is not None) == several, path


@given(st.integers(1, 128))
def test_an_index_has_as_many_bits_as_its_values_need(values: int) -> None:
    model = open_model(DIGITS)
    weight = max(analyse(model).weights, key=lambda weight: weight.count)
    planned = plan_table(weight, values)
    assert isinstance(planned, ValueTable)
    assert values <= 2**planned.bits <= max(2, 2 * values - 1)


def test_no_table_holds_more_than_128_values() -> None:
    weight = max(analyse(open_model(DIGITS)).weights, key=lambda weight: weight.count)
    planned = plan_table(weight, 129)
    assert isinstance(planned, LeftOut)
    assert "at most 128" in planned.reason


@pytest.mark.parametrize("name", ["conv_2d_int8", "depthwise_conv_2d_int8", "fully_connected_per_tensor_int8"])
def test_distinct_values_are_counted_in_each_table(name: str) -> None:
    model, weights = weights_of(name)
    for weight in weights:
        axis = table_axis(weight.tensor)
        groups = Groups.along(weight.tensor.shape, axis) if axis is not None else Groups(1, 1, weight.count)
        codes = weight.codes(model).reshape(groups.shape)
        counts = [len(np.unique(codes[:, index])) for index in range(groups.groups)]
        assert most_distinct(weight, model) == max(counts)


def test_the_package_reads_the_specification() -> None:
    package = pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    tensor = max(analyse(open_model(DIGITS)).weights, key=lambda weight: weight.count).tensor
    (one, other) = package.compression.parse_yaml(
        specification([ValueTable(tensor, 4, None), ValueTable(tensor, 7, 3)])
    )
    assert (one.subgraph, one.tensor) == (tensor.subgraph, tensor.index)
    assert one.compression[0].index_bitwidth == 4
    assert type(one.compression[0].mode).__name__ == "PerTensor"
    assert (other.compression[0].index_bitwidth, other.compression[0].mode.axis) == (7, 3)
