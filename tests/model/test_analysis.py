"""What is found out of a model once, against what each finder says by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fixture_models import FOLDER, MODELS

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.layers import find_layer, find_layers
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import used_as_weights
from tflite_cluster.model.storing.obstacle import int8_obstacle


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_an_analysis_tells_what_the_finders_do(path: Path) -> None:
    model = open_model(path)
    analysis = analyse(model)
    assert analysis.weight_spans == {weight.span for weight in used_as_weights(model)[0]}
    for weight in analysis.weights:
        assert analysis.layers(weight) == find_layers(model, weight)
        assert analysis.layer(weight) == find_layer(model, weight)
        assert analysis.int8_obstacle(weight) == int8_obstacle(model, weight)


def test_a_table_that_was_not_learned_is_a_weight_operand_all_the_same() -> None:
    analysis = analyse(open_model(FOLDER / "grids_float32.tflite"))
    unlearned = [constant for constant in analysis.constants if constant.is_weight_operand]
    assert unlearned
    assert {constant.span for constant in unlearned} <= analysis.weight_spans


def test_codes_are_what_the_bytes_decode_to() -> None:
    model = open_model(FOLDER / "conv_2d_int4.tflite")
    for weight in analyse(model).weights:
        raw = model.data[weight.span.start : weight.span.stop]
        assert weight.codes(model).tolist() == weight.storage.decode(raw, weight.count).tolist()


def test_a_signature_runs_its_own_subgraph() -> None:
    model = open_model(FOLDER / "two_signatures_float32.tflite")
    for key, signature in model.signatures.items():
        assert model.subgraph_of(key).index == signature.subgraph
    assert model.subgraph_of(None).index == 0
