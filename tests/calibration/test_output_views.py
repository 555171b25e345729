"""How much is looked at of outputs: all of a small one, the same elements of a large one each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER
from support.operators import convolution

from tflite_cluster import cluster
from tflite_cluster.calibration.moments import Probe
from tflite_cluster.calibration.output_views import OutputView

PROBE = Probe(0, 0)
MOST = 8192


@given(st.lists(st.integers(0, 20), max_size=3), st.booleans())
def test_small_tensors_are_seen_whole(shape: list[int], by_last_axis: bool) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    seen = OutputView(PROBE, by_last_axis).some(values)
    np.testing.assert_array_equal(seen.reshape(-1), values.reshape(-1))
    assert seen.ndim == 2
    if by_last_axis and values.size and values.ndim:
        assert seen.shape[1] == values.shape[-1]
    else:
        assert len(seen) == 1


@given(st.integers(MOST + 1, 100_000), st.integers(0, 2**32))
def test_of_large_tensors_the_same_elements_are_seen_each_time(size: int, seed: int) -> None:
    places = OutputView(PROBE, by_last_axis=False).some(np.arange(size, dtype=np.float32)).astype(int)
    assert places.shape == (1, MOST)
    assert np.all(np.diff(places) > 0)
    values = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    np.testing.assert_array_equal(OutputView(PROBE, by_last_axis=False).some(values.reshape(1, size)), values[places])


@pytest.mark.parametrize("classes", [2, 21, 1001, MOST + 1])
def test_class_scores_of_many_places_stay_together(classes: int) -> None:
    places = 3 * MOST // classes + 2
    values = np.arange(places * classes, dtype=np.float32).reshape(1, places, classes)
    seen = OutputView(PROBE, by_last_axis=True).some(values)
    assert seen.shape == (max(MOST // classes, 1), classes)
    np.testing.assert_array_equal(np.diff(seen, axis=1), 1)
    assert np.all(seen[:, 0] % classes == 0)


@pytest.mark.slow
def test_large_outputs_are_searched_by_some_of_their_elements(tmp_path: Path) -> None:
    path = tmp_path / "picture.tflite"
    path.write_bytes(convolution((1, 64, 64, 3), (16, 3, 3, 3), (1, 64, 64, 16), same=True))
    result = cluster(path)
    assert result.strategy.search is not None
    assert result.strategy.search.chosen is not None
    assert 20 < result.strategy.search.chosen.quality.sqnr == pytest.approx(result.fidelity.outputs[0].sqnr_db, abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fully_connected_float32", "conv_2d_int8"])
def test_a_shorter_model_is_judged_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, whether a model ends where it is judged or keeps all of its tensors."""
    path = FOLDER / f"{name}.tflite"
    shorter = cluster(path, force=True)
    monkeypatch.setattr("tflite_cluster.search.judge._LARGEST_EDITED", 0)
    whole = cluster(path, force=True)
    assert shorter.model == whole.model
    assert shorter.strategy.search == whole.strategy.search
