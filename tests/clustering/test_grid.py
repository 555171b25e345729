"""Float weights on a uniform grid of int8 codes at a price."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.matrices import COLUMNS, LEAST_SQNR, ROWS, entropy, floats, hessians

from tflite_cluster.clustering.grid import Grid, OnGrid, grid_at_price, int4_grid, int4_grid_of_count, int8_grid
from tflite_cluster.clustering.rate import Matrix, cluster_at_price


def real(found: OnGrid) -> np.ndarray:
    scale = np.repeat(found.scale, len(found.codes) // len(found.scale))
    return found.codes.astype(np.float64) * scale[:, None]


def narrowed(matrix: Matrix, price: float) -> Grid | None:
    return int4_grid(matrix, price, int8_grid(matrix, price, ROWS))


def squared_error(matrix: Matrix, found: OnGrid) -> float:
    return float(np.sum((real(found) - matrix.codes) ** 2))


def test_a_higher_price_buys_fewer_bits() -> None:
    matrix = floats()
    found = [grid_at_price(matrix, price, ROWS) for price in np.geomspace(1e-7, 1e-2, 6)]
    for dear, cheap in pairwise(found):
        assert cheap.entropy < dear.entropy
        assert cheap.error > dear.error
    assert all(one.entropy == pytest.approx(entropy(one.codes)) for one in found)
    assert all(one.error == pytest.approx(squared_error(matrix, one), rel=1e-4) for one in found)


def test_one_scale_unless_a_channel_reaches_too_far() -> None:
    values = np.random.default_rng(3).normal(0, 0.1, (ROWS, COLUMNS))
    assert grid_at_price(floats(values), 1e-4, ROWS).scale.shape == (1,)
    values[5, 7] = 1000
    found = grid_at_price(floats(values), 1e-4, ROWS)
    assert found.scale.shape == (ROWS,)
    assert len(np.unique(found.scale)) == 2
    assert real(found)[5, 7] == pytest.approx(1000)
    by_run = grid_at_price(floats(values), 1e-4, ROWS // 4)
    assert np.flatnonzero(by_run.scale != by_run.scale[0]).tolist() == [1]


def test_next_to_no_price_is_as_fine_as_int8_can_be() -> None:
    found = grid_at_price(floats(), 1e-20, ROWS)
    assert (abs(found.codes.astype(int)).max(axis=1) == 127).all()


@pytest.mark.parametrize("parts", [None, (1, COLUMNS)])
def test_codes_that_were_stay_where_the_price_calls_for_no_coarser_ones(parts: tuple[int, int] | None) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (ROWS, COLUMNS))
    finest = np.geomspace(1e-3, 1, ROWS).astype(np.float32)
    matrix = floats((codes * finest[:, None]).astype(np.float32), parts)
    found = grid_at_price(matrix, 1e-12, ROWS, finest=finest)
    np.testing.assert_array_equal(found.scale, finest)
    np.testing.assert_array_equal(found.codes, codes)
    codes[::2, 3] = -128
    full = floats((codes * finest[:, None]).astype(np.float32), parts)
    np.testing.assert_array_equal(grid_at_price(full, 1e-12, ROWS, finest=finest).codes, codes)
    for price in (1e-6, 1e-3, 1e-2):
        found = grid_at_price(full, price, ROWS, finest=finest)
        assert found.codes.min() >= -128
        assert np.abs(real(found) - full.codes).max() < np.abs(full.codes).max() / 2
    coarser = grid_at_price(matrix, 0.01, ROWS, finest=finest)
    assert np.all(coarser.scale >= finest)
    assert len(np.unique(coarser.scale)) < ROWS // 2


@pytest.mark.parametrize("parts", [None, (1, COLUMNS), (ROWS, COLUMNS)])
def test_no_price_drives_a_tensor_below_the_least_sqnr(parts: tuple[int, int] | None) -> None:
    matrix = floats(parts=parts)
    found = grid_at_price(matrix, 1e6, ROWS)
    assert 10 * np.log10(matrix.power / found.error) >= LEAST_SQNR


def test_feedback_lowers_the_error_of_the_output() -> None:
    hessian = hessians(1, COLUMNS)[0]
    blind, seeing = (grid_at_price(floats(parts=parts), 1e-3, ROWS) for parts in (None, (1, COLUMNS)))
    damage = [np.trace((error := real(one) - floats().codes) @ hessian @ error.T) for one in (blind, seeing)]
    assert damage[1] < damage[0]


def test_the_change_of_each_rows_mean_is_what_the_codes_make_it() -> None:
    matrix = floats(parts=(1, COLUMNS))
    found = grid_at_price(matrix, 1e-3, ROWS)
    assert matrix.mean is not None
    np.testing.assert_allclose(found.mean_change, (real(found) - matrix.codes) @ matrix.mean[0], atol=1e-4)


def test_costs_little_more_than_a_free_codebook() -> None:
    matrix = floats(np.random.default_rng(4).laplace(0, 0.1, (64, 400)))
    for price in (1e-4, 1e-3):
        free, grid = cluster_at_price(matrix, price), grid_at_price(matrix, price, 64)
        cost = [one.error + price * one.entropy * matrix.codes.size for one in (free, grid)]
        assert cost[1] <= cost[0] * 1.1


def test_int4_codes_cost_no_bits_at_the_same_error() -> None:
    matrix = floats(np.random.default_rng(4).normal(0, 0.1, (ROWS, 1000)))
    narrow = narrowed(matrix, 1e-4)
    assert narrow is not None
    wide = [grid_at_price(matrix, price, ROWS) for price in (1e-4, 3e-4, 1e-3)]
    same = np.interp(np.log(narrow.error), [np.log(one.error) for one in wide], [one.entropy for one in wide])
    assert narrow.entropy == pytest.approx(same, abs=0.1)


@pytest.mark.parametrize("parts", [None, (1, COLUMNS), (ROWS, COLUMNS)])
def test_int4_codes_end_at_seven_whatever_is_fed_back(parts: tuple[int, int] | None) -> None:
    matrix = floats(np.random.default_rng(2).standard_t(3, (ROWS, COLUMNS)), parts)
    for price in (1e-6, 1e-2):
        grid = narrowed(matrix, price)
        assert grid is not None
        found = grid.assigned(matrix)
        assert found.scale.shape == (1,)
        assert abs(found.codes.astype(int)).max() == 7
    assert set(np.unique(int4_grid_of_count(matrix, 5).codes)) <= set(range(-7, 8))
    assert len(np.unique(int4_grid_of_count(matrix, 5).codes)) <= 5


def test_no_int4_codes_where_channels_are_too_far_apart() -> None:
    values = np.random.default_rng(3).normal(0, 1, (ROWS, COLUMNS)) * np.geomspace(1e-3, 1, ROWS)[:, None]
    matrix = floats(values)
    assert narrowed(matrix, 1e-4) is not None
    assert narrowed(replace(matrix, least_sqnr=25.0), 1e-4) is None


def test_int8_codes_that_are_small_enough_are_int4_codes_as_they_are() -> None:
    matrix = floats()
    wide = int8_grid(matrix, 1e6, ROWS)
    narrow = int4_grid(matrix, 1e6, wide)
    assert narrow is not None
    assert abs(wide.codes).max() <= 7
    np.testing.assert_array_equal(narrow.codes, wide.codes)
    np.testing.assert_array_equal(narrow.scale, wide.scale)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float32, (4, 6), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(1e-12, 1e6),
    st.sampled_from([1, 2, 4]),
)
def test_every_weight_has_a_code(values: np.ndarray, price: float, channels: int) -> None:
    found = grid_at_price(floats(values), price, channels)
    assert found.codes.dtype == np.int8
    assert abs(found.codes.astype(int)).max() <= 127
    assert np.isfinite(found.scale).all()
    assert (found.scale > 0).all()
    scale = np.repeat(found.scale, 4 // len(found.scale))[:, None].astype(np.float64)
    assert (abs(real(found) - values) <= 0.5001 * scale + 1e-6 * abs(values)).all()
