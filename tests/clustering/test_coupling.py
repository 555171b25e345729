"""Feedback between rows: against optimal brain surgery on the whole matrix at once, and against none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.clustering.coupling import Coupling
from tflite_cluster.clustering.feedback import Feedback

Floats = np.ndarray
BOOK = np.array([-2.0, -1.1, -0.4, 0.0, 0.3, 0.9, 1.8])


def correlated(n: int, seed: int) -> Floats:
    """Second moments, (n, n), of values that have much in common and unequal strengths."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((n, n)) + 2 * generator.standard_normal((n, 1))
    mixing *= generator.uniform(0.3, 3, (n, 1))
    return mixing @ mixing.T / n


def misses(matrix: Floats, found: np.ndarray, rows: Floats, columns: Floats, scale: Floats) -> Floats:
    """By how much each weight is further from what it should be than the nearest centroid is.

    One weight is fixed after the other, rows and columns that matter most first; all that are free make up for it.
    """
    hessian = np.kron(rows, columns)
    height, width = matrix.shape
    order = [
        row * width + column
        for row in np.argsort(-np.diag(rows), kind="stable")
        for column in np.argsort(-np.diag(columns), kind="stable")
    ]
    unit = np.repeat(scale, width)
    start, chosen = matrix.reshape(-1).astype(np.float64), BOOK[found.reshape(-1)]
    missed = np.zeros(height * width)
    for done, place in enumerate(order):
        fixed, free = order[:done], order[done:]
        owed = hessian[np.ix_(free, fixed)] @ ((start[fixed] - chosen[fixed]) * unit[fixed])
        aim = start[place] + np.linalg.solve(hessian[np.ix_(free, free)], owed)[0] / unit[place]
        missed[place] = abs(chosen[place] - aim) - np.abs(BOOK - aim).min()
    return missed


def error(matrix: Floats, indices: np.ndarray, rows: Floats, columns: Floats) -> float:
    difference = matrix - BOOK[indices]
    return float(np.trace(difference.T @ rows @ difference @ columns))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 6))
def test_it_is_optimal_brain_surgery_of_the_whole_matrix(seed: int, height: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    rows, columns = correlated(height, seed) + 0.1 * np.eye(height), correlated(width, seed + 1) + 0.1 * np.eye(width)
    matrix = generator.standard_normal((height, width)).astype(np.float32)
    scale = generator.uniform(0.2, 5, height)
    found = Feedback.of(columns[None], Coupling.of(rows)).assign(matrix, BOOK, scale)
    np.testing.assert_allclose(misses(matrix, found, rows, columns, scale), 0, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_have_nothing_in_common_are_assigned_alone(seed: int) -> None:
    hessian = correlated(12, seed)[None]
    matrix = np.random.default_rng(seed).standard_normal((40, 12)).astype(np.float32)
    coupling = Coupling.of(np.diag(np.random.default_rng(seed).uniform(0.1, 9, 40)))
    alone = Feedback.of(hessian).assign(matrix, BOOK, np.ones(40))
    np.testing.assert_array_equal(Feedback.of(hessian, coupling).assign(matrix, BOOK, np.ones(40)), alone)


def test_it_lowers_the_error_of_many_rows() -> None:
    gains = []
    for seed in range(5):
        rows, columns = correlated(64, seed) + 0.5 * np.eye(64), correlated(24, seed)
        matrix = np.random.default_rng(seed).standard_normal((64, 24)).astype(np.float32)
        found = [
            error(matrix, Feedback.of(columns[None], coupling).assign(matrix, BOOK, np.ones(64)), rows, columns)
            for coupling in (None, Coupling.of(rows))
        ]
        gains.append(found[1] / found[0])
    assert max(gains) < 0.8


@pytest.mark.parametrize("parts", [1, 2])
def test_the_error_is_that_of_the_rows_together(parts: int) -> None:
    rows, columns = correlated(9, 3), np.stack([correlated(6, seed) for seed in range(parts)])
    errors = np.random.default_rng(0).standard_normal((9, 6 * parts))
    expected = sum(
        np.trace(part.T @ rows @ part @ hessian)
        for part, hessian in zip(np.split(errors, parts, axis=1), columns, strict=True)
    )
    found, scale = np.ones_like(errors), np.linspace(0.5, 2, 9)
    aim = found + errors / scale[:, None]
    assert Feedback.of(columns, Coupling.of(rows)).output_error(aim, found, scale) == pytest.approx(expected, rel=1e-4)


def test_rows_that_count_for_nothing_are_owed_nothing() -> None:
    generator = np.random.default_rng(0)
    matrix, scale = generator.standard_normal((16, 8)).astype(np.float32), generator.uniform(0.2, 5, 16)
    matrix[::4], scale[::4] = 0, 0
    coupling = Coupling.of(correlated(16, 0) + 0.1 * np.eye(16))
    found = Feedback.of((correlated(8, 1) + 0.1 * np.eye(8))[None], coupling).assign(matrix, BOOK, scale)
    assert not BOOK[found[::4]].any()
