"""Large weights are worked on in runs of rows, which changes nothing, and keeps memory low."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from tflite_cluster.clustering import histogram
from tflite_cluster.clustering.coupling import Coupling
from tflite_cluster.clustering.feedback import Feedback
from tflite_cluster.clustering.grid import grid_at_price
from tflite_cluster.clustering.rate import Matrix, Priced, cluster_at_price

ROWS, COLUMNS, PRICE = 768, 512, 0.02


def on_grid(matrix: Matrix, price: float) -> Priced:
    return grid_at_price(matrix, price, 1).priced


WAYS: dict[str, Callable[[Matrix, float], Priced]] = {"any values": cluster_at_price, "a grid": on_grid}


def matrix(*, coupled: bool) -> Matrix:
    """Weights whose inputs, and whose outputs if they are coupled, have a little in common."""
    weights = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    coupling = Coupling.of(np.eye(ROWS) + 0.1) if coupled else None
    feedback = Feedback.of(np.eye(COLUMNS)[None] + 0.1, coupling)
    mean = np.full((1, COLUMNS), 0.5)
    return Matrix(weights, True, np.ones(ROWS), 0, lambda values: values, feedback, mean, np.ones(1))


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_runs_of_rows_change_nothing(way: str, coupled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of float32 in another order may tip a weight between two values, no more."""
    whole = WAYS[way](matrix(coupled=coupled), PRICE)
    monkeypatch.setattr(histogram, "_ROW_BLOCK", 50 * COLUMNS)
    found = WAYS[way](matrix(coupled=coupled), PRICE)
    assert np.mean(found.codes != whole.codes) < 0.001
    assert found.error == pytest.approx(whole.error)
    assert found.gain == pytest.approx(whole.gain, abs=0.01)
    assert found.mean_change == pytest.approx(whole.mean_change, abs=0.01)


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_takes_few_bytes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three or four copies in float32 and a few bytes; with numbers of eight bytes it was 40 to 48."""
    monkeypatch.setattr(histogram, "_ROW_BLOCK", 16 * COLUMNS)
    subject = matrix(coupled=False)
    assert len(subject.histogram) > 0  # made before, once for all prices
    tracemalloc.start()
    try:
        WAYS[way](subject, PRICE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / subject.codes.size < 22
