"""Small gains are not bought with changes, unless asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.fixture_models import FOLDER

from tflite_cluster import Result, cluster
from tflite_cluster.config import Rule, Settings
from tflite_cluster.result import NotSmallerError, Strategy
from tflite_cluster.run.worth import refuse_what_is_not_worth_it

DEAR = FOLDER / "svdf_int8.tflite"
"""Zips 1.09 times smaller by default, at 27 dB."""
CLEAN = FOLDER / "fully_connected_per_tensor_int8.tflite"
"""Zips 1.05 times smaller by default, at 34 dB."""
WORTH_IT = FOLDER / "fully_connected_int8.tflite"
"""Zips 1.37 times smaller by default, at 28 dB."""


def ratio(result: Result) -> float:
    assert result.sizes is not None
    return result.sizes.zip9.ratio


def contrast(result: Result) -> float:
    search = result.strategy.search
    assert search is not None
    assert search.chosen is not None
    return search.chosen.quality.held_out_sqnr


@pytest.mark.slow
def test_a_small_gain_for_a_change_leaves_the_model_alone() -> None:
    words = r"zip only 1\.0\d+ times smaller, and its outputs would keep only 2\d\.\d dB; no model was written \(use"
    with pytest.raises(NotSmallerError, match=words) as refusal:
        cluster(DEAR)
    assert 1 < ratio(refusal.value.result) < 1.1
    assert contrast(refusal.value.result) < 30


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"force": True},
        {"min_sqnr": 20.0},
        {"max_size": "99%"},
        {"clusters": 200},
        {"rules": [Rule("*", by_operator=False, clusters=200)]},
        {"check": False},
    ],
    ids=str,
)
def test_whoever_asks_for_it_gets_a_small_gain(settings: Settings) -> None:
    result = cluster(DEAR, **settings)
    assert result.model is not None
    assert result.spans


@pytest.mark.slow
@pytest.mark.parametrize("path", [CLEAN, WORTH_IT], ids=lambda path: path.stem)
def test_a_small_gain_for_next_to_nothing_and_a_large_one_are_written(path: Path) -> None:
    result = cluster(path)
    assert result.model is not None
    assert (ratio(result) < 1.1) == (contrast(result) >= 30) == (path == CLEAN)


@pytest.mark.slow
def test_a_small_gain_that_nothing_vouches_for_leaves_the_model_alone() -> None:
    """As where the model cannot be run."""
    result = replace(cluster(CLEAN), strategy=Strategy("every weight at the same signal-to-noise ratio (it crashes)"))
    with pytest.raises(NotSmallerError, match="how far its outputs change was not measured"):
        refuse_what_is_not_worth_it(result)
