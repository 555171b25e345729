"""The records of operators: each complete, none taken for another, and all that is derived from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from support.fixture_models import MANIFEST, MODELS
from support.operators import batch_matmul

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.operators import (
    BUILTIN,
    CUSTOM,
    UNKNOWN,
    compiled_for,
    convolutions,
    custom,
    elementwise,
    lookups,
    options_of,
    other_role,
    pools,
    products,
    record_of,
    recurrent,
    shapes,
    weight_axis,
)
from tflite_cluster.model.operators.record import OperatorRecord
from tflite_cluster.model.read import OPERATORS, Model, Operator, Subgraph, open_model

FAMILIES: Final = convolutions, custom, elementwise, lookups, pools, products, recurrent, shapes
RECORDS: Final = [record for family in FAMILIES for record in family.RECORDS]
PAGE: Final = Path(__file__).parents[2] / "docs" / "operators.md"

WITHOUT_A_FIXTURE: Final = {"CONV_3D_TRANSPOSE", "EMBEDDING_LOOKUP_SPARSE", "LSTM", "RNN"}
"""Weight operators that no fixture has: no converter of today makes them."""


def operator(name: str, *, is_custom: bool, inputs: int = 50) -> Operator:
    return Operator(0, 0, name, is_custom, tuple(range(inputs)), (inputs,), None)


def names(record: OperatorRecord) -> str:
    return record.name


def test_every_record_is_registered_under_its_name() -> None:
    assert len({record.name for record in RECORDS}) == len(RECORDS)
    assert [*BUILTIN.keys(), *CUSTOM.keys()] == [record.name for record in (*BUILTIN.values(), *CUSTOM.values())]
    assert len(BUILTIN) + len(CUSTOM) == len(RECORDS)
    assert BUILTIN.keys() <= set(OPERATORS.values())


@pytest.mark.parametrize("record", RECORDS, ids=names)
def test_a_record_is_complete(record: OperatorRecord) -> None:
    """What it says of its operands fits together, and it says something."""
    assert record.layer is None or record.weights
    assert bool(record.cells) == (record.name in {each.name for each in recurrent.RECORDS})
    for cell in record.cells:
        assert {*cell.from_input, *cell.from_output} <= record.weights.keys()
    assert record.bias is None or record.bias.operand not in record.weights
    assert record.bias is None or not record.bias.is_per_row or record.layer is not None
    assert record.lookup is None or record.lookup.table in record.weights
    assert record.weights or not record.needs_learned_values
    assert record.weights or record.int8_obstacle is None
    assert record != OperatorRecord(record.name, record.options)


@pytest.mark.parametrize("record", BUILTIN.values(), ids=names)
def test_weights_that_depend_on_a_form_are_by_default_those_listed(record: OperatorRecord) -> None:
    if record.weights_of is not None:
        assert record.weights_of(operator(record.name, is_custom=False), None) == record.weights


@pytest.mark.parametrize("name", [*BUILTIN, *CUSTOM])
def test_a_custom_operator_is_never_taken_for_a_builtin_one(name: str) -> None:
    """Nor the other way round, in any of the questions that records answer."""
    other = operator(name, is_custom=name in BUILTIN)
    assert record_of(other) is UNKNOWN
    assert not other.is_builtin(name) or name in CUSTOM
    assert options_of(other) is None
    assert all(weight_axis(other, operand) is None for operand in range(50))
    role = other_role(other, 0)
    assert "not known" in role if other.is_custom else "which is not a weight" in role
    graph = Subgraph(0, "g", (), (other,), (), ())
    assert compiled_for(Model("m", memoryview(b""), (graph,), (), {}, {})) is None


def test_every_weight_operator_has_a_fixture() -> None:
    in_fixtures = {name for entry in MANIFEST.values() for name in re.findall(r"\w+", entry["operator"])}
    with_weights = {record.name for record in RECORDS if record.weights}
    assert with_weights - in_fixtures == WITHOUT_A_FIXTURE


def test_every_layer_builder_makes_a_layer() -> None:
    """Of a fixture, or where no fixture has a form that becomes one, of a crafted model."""
    product = batch_matmul((1, 6, 8), (1, 8, 4), (1, 6, 4))
    analyses = [analyse(open_model(source)) for source in (*MODELS, product)]
    layers = [layer for each in analyses for weight in each.weights for layer in each.layers(weight)]
    built = {layer.operator.name for layer in layers}
    assert {record.name for record in RECORDS if record.layer is not None} - built == {"LSTM", "RNN"}


def test_the_page_of_operators_names_every_way_back() -> None:
    (listed,) = re.findall(r"is one of\n(.*?)\.\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    known = {record.name for record in RECORDS if record.gradient is not None}
    assert set(re.findall(r"`(\w+)`", listed)) == known
