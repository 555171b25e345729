"""Codebooks and assignments kept close to an earlier version of a weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_cluster.clustering.feedback import Feedback, shrunk
from tflite_cluster.clustering.grid import grid_at_price
from tflite_cluster.clustering.prior import Held, Prior
from tflite_cluster.clustering.rate import Matrix, cluster_at_price, cluster_to_count
from tflite_cluster.model.storage import STORAGES

FLOAT = STORAGES["FLOAT32"]


def matrix(seed: int, shape: tuple[int, int] = (12, 24), change: float = 0.0) -> Matrix:
    """Floats with feedback; change: how far they are moved from those of the same seed, as a share of their size."""
    generator = np.random.default_rng(seed)
    codes = generator.standard_normal(shape)
    inputs = generator.standard_normal((200, shape[1])) @ generator.standard_normal((shape[1], shape[1]))
    codes += change * np.random.default_rng(seed + 1).standard_normal(shape)
    feedback = Feedback.of(shrunk((inputs.T @ inputs / 200)[None], 200, 0.01))
    return Matrix(
        codes.astype(np.float32), True, np.ones(shape[0]), 0, FLOAT.representable, feedback, None, None,
        well_packed=FLOAT.well_packed,
    )  # fmt: skip


def drawn(to: Matrix, earlier: np.ndarray) -> Matrix:
    return replace(to, prior=Prior(earlier.astype(np.float32), to.is_float, None if to.is_float else to.scale))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.001, 0.2))
def test_what_was_found_is_found_again(seed: int, price: float) -> None:
    new = matrix(seed)
    found = cluster_at_price(new, price)
    np.testing.assert_array_equal(cluster_at_price(drawn(new, found.codes), price).codes, found.codes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_a_count_gives_itself_again_and_is_never_exceeded(seed: int, clusters: int) -> None:
    new = matrix(seed)
    found = cluster_to_count(new, clusters)
    np.testing.assert_array_equal(cluster_to_count(drawn(new, found.codes), clusters).codes, found.codes)
    for other in (2, clusters + 3):
        assert len(np.unique(cluster_to_count(drawn(new, found.codes), other).codes)) <= other


@pytest.mark.parametrize("price", [0.02, 0.1])
def test_a_weight_that_moved_little_stays(price: float) -> None:
    before = cluster_at_price(matrix(3, (32, 48)), price).codes
    new = matrix(3, (32, 48), change=0.02)
    plain, held = (cluster_at_price(each, price) for each in (new, drawn(new, before)))
    assert np.mean(plain.codes == before) < 0.5
    assert np.mean(held.codes == before) > 0.9
    assert held.error < 1.3 * plain.error


def test_an_earlier_version_unlike_the_new_one_is_let_go() -> None:
    new = matrix(5, (32, 48))
    plain = cluster_at_price(new, 0.02)
    far = cluster_at_price(drawn(new, np.where(new.codes > 0, 100.0, 101.0)), 0.02)
    assert far.error <= 1.1 * plain.error


def test_zeros_stay_zeros() -> None:
    new = matrix(7)
    new.codes[:, ::3] = 0
    earlier = cluster_at_price(matrix(7), 0.05).codes
    assert not cluster_at_price(drawn(new, earlier), 0.05).codes[:, ::3].any()


def test_the_step_of_a_grid_is_kept() -> None:
    new = matrix(9, (32, 48))
    step = float(grid_at_price(new, 0.02, 1).scale[0])
    earlier = np.float32(1.03 * step)
    codes = np.rint(new.codes / earlier)
    prior = Prior(codes.astype(np.float32), False, np.full(32, float(earlier)))
    found = grid_at_price(replace(new, prior=prior), 0.02, 1)
    assert found.scale.tolist() == [earlier]
    assert np.mean(found.codes == codes) > 0.95
    assert np.mean(grid_at_price(new, 0.02, 1).codes == codes) < 0.9
    far = Prior(codes.astype(np.float32), False, np.full(32, 10.0))
    assert grid_at_price(replace(new, prior=far), 0.02, 1).scale.tolist() == [pytest.approx(step)]


def test_a_change_must_be_worth_it() -> None:
    book = np.array([0.0, 1.0], np.float32)
    held = Held(np.array([[1, 1, -1]]), np.array([0.2]))
    values = np.array([[0.45, 0.3, 0.9]])
    assert held.kept(values, np.array([[0, 0, 1]]), book).tolist() == [[1, 0, 1]]
    assert held.kept(values[:, 0], np.array([0]), book, 0).tolist() == [1]
