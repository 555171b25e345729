"""How often a run finds the weights of a model."""

from __future__ import annotations

from typing import Any

import pytest
from support.fixture_models import FOLDER

from tflite_cluster import cluster
from tflite_cluster.model import scales, select
from tflite_cluster.run import proof


@pytest.mark.parametrize("settings", [{}, {"store": "int8"}, {"max_size": "90%"}, {"clusters": 64}])
def test_a_model_is_analysed_once_and_its_copy_to_prove_it(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed: list[str] = []
    real, search = select.used_as_weights, scales.verify

    def counted(model: Any) -> Any:
        analysed.append(model.label)
        return real(model)

    monkeypatch.setattr(select, "used_as_weights", counted)
    monkeypatch.setattr(proof, "used_as_weights", counted)
    searched: list[int] = []
    monkeypatch.setattr(scales, "verify", lambda data: searched.append(len(data)) or search(data))
    cluster(FOLDER / "two_ways_float32.tflite", force=True, measure=False, **settings)
    assert analysed == ["two_ways_float32.tflite", "the new two_ways_float32.tflite"]
    assert len(searched) <= 1
