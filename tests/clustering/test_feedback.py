"""Error feedback against optimal brain surgery by plain least squares, and against the nearest centroid."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_cluster.calibration.moments import Moments
from tflite_cluster.clustering.codebook import nearest
from tflite_cluster.clustering.feedback import Feedback, corrected, shrunk

Floats = np.ndarray
BOOK = np.array([-2.0, -1.1, -0.4, 0.0, 0.3, 0.9, 1.8])


def correlated(parts: int, n: int, seed: int = 0) -> Floats:
    """Second moments, (parts, n, n), of inputs that have much in common and unequal strengths."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((parts, n, n)) + 2 * generator.standard_normal((parts, n, 1))
    mixing *= generator.uniform(0.3, 3, (parts, n, 1))
    return mixing @ mixing.transpose(0, 2, 1) / n


def weights(rows: int, columns: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def output_error(matrix: Floats, indices: np.ndarray, hessian: Floats) -> float:
    """E[|(W - C) x|²] for x of those second moments, (n, n)."""
    difference = matrix.astype(np.float64) - BOOK[indices]
    return float(np.einsum("rn,nm,rm->", difference, hessian, difference))


def by_least_squares(row: Floats, hessian: Floats) -> np.ndarray:
    """Fix the weight of the strongest input not yet fixed, solve for all that are free, and so on."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    start = row.astype(np.float64)
    indices = np.zeros(len(row), np.intp)
    for done, column in enumerate(order):
        fixed, free = order[:done], order[done:]
        missed = hessian[np.ix_(free, fixed)] @ (start[fixed] - BOOK[indices[fixed]])
        now = start[free] + np.linalg.solve(hessian[np.ix_(free, free)], missed)
        indices[column] = np.abs(BOOK - now[0]).argmin()
    return indices


def by_parts(matrix: Floats, hessian: Floats, places: list[tuple[slice, slice]]) -> np.ndarray:
    indices = np.empty(matrix.shape, np.intp)
    for place, part in zip(places, hessian, strict=True):
        indices[place] = [by_least_squares(row, part) for row in matrix[place]]
    return indices


@pytest.mark.parametrize("seed", range(5))
def test_one_part_is_optimal_brain_surgery(seed: int) -> None:
    hessian, matrix = correlated(1, 12, seed), weights(9, 12, seed)
    expected = by_parts(matrix, hessian, [np.s_[:, :]])
    np.testing.assert_array_equal(Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), expected)


def test_two_columns_by_hand() -> None:
    """The stronger input comes first: 1.2 becomes 0.9, and the other weight takes over 0.3 x 1.5 / 1."""
    hessian = np.array([[[1.0, 1.5], [1.5, 4.0]]])
    matrix = np.float32([[0.2, 1.2]])
    np.testing.assert_array_equal(BOOK[nearest(matrix, BOOK)], [[0.3, 0.9]])
    np.testing.assert_array_equal(BOOK[Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix)))], [[0.9, 0.9]])


@pytest.mark.slow
@pytest.mark.parametrize("columns", [63, 64, 65, 130])
def test_blocks_change_nothing(columns: int) -> None:
    """Columns are worked on in blocks: float32 sums in another order may tip a weight between two values, no more."""
    hessian, matrix = correlated(1, columns), weights(6, columns)
    expected = by_parts(matrix, hessian, [np.s_[:, :]])
    found = Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix)))
    assert np.mean(found != expected) < 0.02
    assert output_error(matrix, found, hessian[0]) == pytest.approx(
        output_error(matrix, expected, hessian[0]), rel=0.05
    )


@pytest.mark.parametrize("row_parts", [2, 3, 6])
def test_parts_as_runs_of_rows(row_parts: int) -> None:
    hessian, matrix = correlated(row_parts, 10), weights(12, 10)
    size = 12 // row_parts
    expected = by_parts(matrix, hessian, [np.s_[part * size : part * size + size, :] for part in range(row_parts)])
    np.testing.assert_array_equal(Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), expected)


def test_parts_as_single_rows() -> None:
    hessian, matrix = correlated(20, 9), weights(20, 9)
    expected = by_parts(matrix, hessian, [np.s_[row : row + 1, :] for row in range(20)])
    np.testing.assert_array_equal(Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), expected)


@pytest.mark.parametrize("rows", [3, 8])
def test_parts_as_runs_of_columns(rows: int) -> None:
    hessian, matrix = correlated(3, 8), weights(rows, 24)
    expected = by_parts(matrix, hessian, [np.s_[:, part * 8 : part * 8 + 8] for part in range(3)])
    np.testing.assert_array_equal(Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), expected)


def test_inputs_that_have_nothing_in_common_take_the_nearest() -> None:
    diagonal = np.random.default_rng(0).uniform(0.1, 5, (1, 100))
    hessian = np.zeros((1, 100, 100))
    np.einsum("pii->pi", hessian)[...] = diagonal
    matrix = weights(30, 100)
    np.testing.assert_array_equal(
        Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), nearest(matrix, BOOK)
    )


def test_feedback_lowers_the_output_error() -> None:
    gains = []
    for seed in range(30):
        hessian, matrix = shrunk(correlated(1, 40, seed), 1e6, 1e-3), weights(16, 40, seed)
        plain = output_error(matrix, nearest(matrix, BOOK), hessian[0])
        gains.append(
            output_error(matrix, Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), hessian[0]) / plain
        )
    assert np.mean(gains) < 0.5
    assert max(gains) < 1


def test_feedback_does_no_harm_where_little_is_shared() -> None:
    gains = []
    for seed in range(30):
        inputs = np.random.default_rng(seed).standard_normal((400, 24))
        hessian, matrix = (inputs.T @ inputs / 400)[None], weights(32, 24, seed)
        plain = output_error(matrix, nearest(matrix, BOOK), hessian[0])
        gains.append(
            output_error(matrix, Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), hessian[0]) / plain
        )
    assert np.mean(gains) < 1


@pytest.mark.slow
def test_few_observations_do_not_ruin_what_was_not_observed() -> None:
    """Ten observations of sixty inputs: on fresh inputs feedback from shrunk moments must still not be worse."""
    gains = []
    for seed in range(20):
        truth, generator = correlated(1, 60, seed)[0], np.random.default_rng(seed)
        seen = generator.multivariate_normal(np.zeros(60), truth, 10)
        hessian = shrunk((seen.T @ seen / 10)[None], 10, 0.01)
        matrix = weights(24, 60, seed)
        plain = output_error(matrix, nearest(matrix, BOOK), truth)
        gains.append(
            output_error(matrix, Feedback.of(hessian).assign(matrix, BOOK, np.ones(len(matrix))), truth) / plain
        )
    assert np.mean(gains) < 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e12])
@pytest.mark.parametrize("floor", [0.01, 0.1])
def test_shrunk_moments_can_be_inverted(scale: float, floor: float) -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 2, 50)) * scale**0.5
    hessian = np.einsum("pki,pkj->pij", vectors, vectors)  # of rank two
    hessian[1] = 0  # never active
    hessian[2, 10:, :] = hessian[2, :, 10:] = 0  # some inputs never active
    result = shrunk(hessian, 8, floor)
    assert np.all(np.linalg.eigvalsh(result) > 0)
    factor = Feedback.of(result).factor
    assert np.isfinite(factor).all()
    assert np.all(np.einsum("pii->pi", factor) > 0)


@pytest.mark.parametrize("spread", [0.01, 0.003, 0.0015, 0.0005])
def test_moments_that_rounding_made_indefinite_can_be_inverted(spread: float) -> None:
    """Float32 sums of inputs that hardly leave their mean, such as a sensor's 300 ± 1."""
    generator = np.random.default_rng(0)
    moments = Moments.empty(2, 96)
    for _ in range(300):
        moments.count_in((1 + spread * generator.standard_normal((64, 2, 96))).astype(np.float32))
    result = shrunk(moments.covariance, moments.count, 0.01)
    assert np.isfinite(Feedback.of(result).factor).all()


def test_moments_of_nothing_take_the_nearest() -> None:
    matrix = weights(5, 7)
    feedback = Feedback.of(shrunk(np.zeros((1, 7, 7)), 0, 0.1))
    np.testing.assert_array_equal(feedback.assign(matrix, BOOK, np.ones(len(matrix))), nearest(matrix, BOOK))


def test_shrinking_keeps_the_diagonal_and_fades_with_observations() -> None:
    hessian = correlated(2, 6)
    diagonal = np.einsum("pii->pi", hessian)
    off = ~np.eye(6, dtype=bool)
    for observations, share in [(0, 0.0), (6, 0.5), (1e9, 1.0)]:
        result = shrunk(hessian, observations, 0.0)
        np.testing.assert_allclose(np.einsum("pii->pi", result), diagonal)
        np.testing.assert_allclose(result[:, off], share * hessian[:, off], rtol=1e-6)
    raised = np.einsum("pii->pi", shrunk(hessian, 10, 0.25))
    np.testing.assert_allclose(raised, diagonal + 0.25 * diagonal.mean(axis=1, keepdims=True))


@pytest.mark.parametrize(("rows", "parts", "n"), [(5, 1, 6), (6, 2, 4), (4, 4, 3), (5, 2, 3)])
def test_corrected_weights_are_the_least_squares_solution(rows: int, parts: int, n: int) -> None:
    """Groups of rows, single rows, and runs of columns, which are corrected each by itself."""
    generator = np.random.default_rng(rows)
    by_columns = rows % parts != 0
    weights = generator.standard_normal((rows, parts * n if by_columns else n))
    drifted = generator.standard_normal((40, parts, n))
    x = drifted + 0.3 * generator.standard_normal((40, parts, n)) + 0.1
    hessian = np.einsum("spi,spj->pij", drifted, drifted) / 40
    cross = np.einsum("spi,spj->pij", x - drifted, drifted) / 40
    found = corrected(weights, hessian, cross)
    for part in range(parts):
        place = (
            np.s_[:, part * n : (part + 1) * n]
            if by_columns
            else np.s_[part * rows // parts : (part + 1) * rows // parts]
        )
        wanted = x[:, part] @ weights[place].T
        best = np.linalg.lstsq(drifted[:, part], wanted, rcond=None)[0].T
        np.testing.assert_allclose(found[place], best, atol=1e-9)


@pytest.mark.parametrize(
    ("parts", "n", "shape"), [(1, 70, (8, 70)), (2, 12, (6, 12)), (6, 12, (6, 12)), (3, 4, (8, 12)), (1, 65, (32, 65))]
)
def test_the_error_of_the_output(parts: int, n: int, shape: tuple[int, int]) -> None:
    """By rows or columns in parts: of so few rows all are measured."""
    hessian, errors = correlated(parts, n), weights(*shape)
    if n == shape[1]:
        whole = [(part, np.s_[part * shape[0] // parts : (part + 1) * shape[0] // parts, :]) for part in range(parts)]
    else:
        whole = [(part, np.s_[:, part * n : (part + 1) * n]) for part in range(parts)]
    expected = sum(float(np.einsum("rn,nm,rm->", errors[at], hessian[part], errors[at])) for part, at in whole)
    found, scale = weights(*shape, seed=2), np.linspace(0.5, 2, shape[0])
    aim = found + errors / scale[:, None]
    assert Feedback.of(hessian).output_error(aim, found, scale) == pytest.approx(expected, rel=1e-3)


def test_some_rows_stand_for_all_in_the_error_of_the_output() -> None:
    hessian, errors = correlated(1, 20), weights(100, 20)
    some = errors[::4]
    expected = float(np.einsum("rn,nm,rm->", some, hessian[0], some))
    found = Feedback.of(hessian).output_error(errors, np.zeros_like(errors), np.ones(100))
    assert found == pytest.approx(expected, rel=1e-3)
