"""A whole tensor at a price or to a count: what it keeps, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.matrices import COLUMNS, LEAST_SQNR, ROWS, Floats, entropy, floats, integers
from support.problems import to_codes

from tflite_cluster.clustering.rate import (
    Matrix,
    Priced,
    cluster_at_price,
    cluster_on,
    cluster_to_count,
    output_noise,
)
from tflite_cluster.model.storage import STORAGES


def real(matrix: Matrix, codes: Floats) -> Floats:
    return (codes.astype(np.float64) - matrix.zero) * matrix.scale[:, None]


def sqnr(matrix: Matrix, priced: Priced) -> float:
    before, after = real(matrix, matrix.codes), real(matrix, priced.codes)
    return 10 * float(np.log10(np.sum(before**2) / np.sum((after - before) ** 2)))


HEAVY_TAILED = np.random.default_rng(3).standard_t(1.5, (ROWS, COLUMNS))
MATRICES = {
    "float32": floats(),
    "float32, heavy tails": floats(HEAVY_TAILED),
    "float32, all of one sign": floats(np.abs(HEAVY_TAILED) + 1),
    "int8": integers(),
    "uint8, zero in the middle": integers(128, np.uint8),
    "uint8, zero at the end": integers(0, np.uint8),
    "int16": integers(0, np.int16),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_no_price_drives_a_tensor_below_the_least_sqnr(matrix: Matrix) -> None:
    for price in (1e-3, 1.0, 1e6, 1e30):
        priced = cluster_at_price(matrix, price)
        assert sqnr(matrix, priced) >= LEAST_SQNR - 0.01
        assert len(np.unique(priced.codes)) > 1


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_error_and_entropy_are_those_of_the_codes(matrix: Matrix) -> None:
    priced = cluster_at_price(matrix, matrix.power / matrix.codes.size * 0.01)
    assert priced.entropy == pytest.approx(entropy(priced.codes))
    assert priced.codes.dtype == matrix.codes.dtype
    assert priced.codes.shape == matrix.codes.shape
    before, after = real(matrix, matrix.codes), real(matrix, priced.codes)
    actual = float(np.sum((after - before) ** 2))
    # The nearest value errs no more than the one that rate would have chosen, of which the error is given.
    assert actual <= priced.error * (1 + 1e-6) + 1e-12
    assert actual >= priced.error * 0.5
    assert matrix.power == pytest.approx(np.sum(before**2), rel=1e-5)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_higher_price_buys_fewer_bits(matrix: Matrix) -> None:
    mean = matrix.power / matrix.codes.size
    found = [cluster_at_price(matrix, mean * share) for share in np.geomspace(1e-5, 0.1, 9)]
    assert all(dear.entropy <= cheap.entropy + 0.02 for cheap, dear in pairwise(found))
    assert all(dear.error >= cheap.error * 0.98 for cheap, dear in pairwise(found))
    assert found[0].entropy > found[-1].entropy + 2


def test_next_to_no_price_changes_nothing() -> None:
    for matrix in MATRICES.values():
        np.testing.assert_allclose(cluster_at_price(matrix, 1e-30).codes, matrix.codes, rtol=1e-6)


@pytest.mark.parametrize("zero", [-128, -5, 0, 100, 127])
@pytest.mark.parametrize("parts", [None, (1, COLUMNS), (ROWS, COLUMNS)])
def test_integers_stay_in_their_type_and_zero_stays_zero(zero: int, parts: tuple[int, int] | None) -> None:
    matrix = integers(zero, parts=parts)
    for share in (1e-3, 0.05):
        priced = cluster_at_price(matrix, share * matrix.power / matrix.codes.size)
        assert priced.codes.dtype == np.int8
        assert zero in priced.codes
        if parts is None:
            assert np.all(priced.codes[matrix.codes == zero] == zero)


def test_rows_of_large_scale_count_for_more() -> None:
    """Codes of the loud rows and of the quiet ones lie apart, and values go to where errors hurt."""
    codes = np.concatenate((np.arange(-100, -40).reshape(1, -1), np.arange(40, 100).reshape(1, -1))).astype(np.int8)
    matrix = Matrix(codes, False, np.array([1.0, 0.05]), 0, to_codes(-128, 127), None, None, None)
    loud, quiet = cluster_at_price(matrix, 1.0).codes
    assert len(np.unique(loud)) > 2 * len(np.unique(quiet))


def test_noise_of_an_output_is_what_the_error_of_one_weight_comes_to() -> None:
    matrix = integers(parts=(4, COLUMNS))
    power = np.array([1.0, 2.0, 0.0, 5.0])
    priced = cluster_at_price(matrix, 0.01 * matrix.power / matrix.codes.size)
    noise = output_noise(replace(matrix, input_power=power), priced.error)
    assert noise is not None
    codes = priced.error / matrix.codes.size / np.mean(matrix.scale**2)  # squared error in codes
    np.testing.assert_allclose(noise, codes * matrix.scale**2 * np.repeat(power, ROWS // 4))
    columns = replace(integers(parts=(3, COLUMNS // 3)), input_power=np.array([1.0, 2.0, 6.0]))
    of_all = output_noise(columns, priced.error)
    assert of_all is not None
    np.testing.assert_allclose(of_all, codes * matrix.scale**2 * 3.0)
    assert output_noise(matrix, priced.error) is None


PARTS = {
    "one": (1, COLUMNS),
    "runs of rows": (4, COLUMNS),
    "single rows": (ROWS, COLUMNS),
    "runs of columns": (3, COLUMNS // 3),
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("is_float", [True, False])
def test_the_change_of_each_rows_mean_is_what_the_codes_make_it(parts: tuple[int, int], is_float: bool) -> None:
    matrix = floats(parts=parts) if is_float else integers(17, parts=parts)
    priced = cluster_at_price(matrix, 0.02 * matrix.power / matrix.codes.size)
    assert matrix.mean is not None
    change = real(matrix, priced.codes) - real(matrix, matrix.codes)
    expected = []
    for row in range(ROWS):
        inputs = matrix.mean.reshape(-1) if parts[1] < COLUMNS else matrix.mean[row * parts[0] // ROWS]
        expected.append(change[row] @ inputs)
    assert priced.mean_change == pytest.approx(np.array(expected), abs=1e-5 * np.abs(change).sum())
    assert np.abs(expected).max() > 0


def test_without_means_nothing_is_said_of_their_change() -> None:
    assert cluster_at_price(floats(), 1e-4).mean_change is None


@pytest.mark.parametrize("parts", [None, *PARTS.values()])
@pytest.mark.parametrize("clusters", [2, 5, 32])
def test_to_a_count(parts: tuple[int, int] | None, clusters: int) -> None:
    for matrix in (floats(parts=parts), integers(3, parts=parts), integers(0, np.int16, parts=parts)):
        priced = cluster_to_count(matrix, clusters)
        assert 2 <= len(np.unique(priced.codes)) <= clusters
        assert priced.entropy == pytest.approx(entropy(priced.codes))


def test_feedback_keeps_to_the_values_that_were_found_without() -> None:
    plain, fed = (cluster_to_count(floats(parts=parts), 8) for parts in (None, (1, COLUMNS)))
    assert set(np.unique(fed.codes)) <= set(np.unique(plain.codes))
    assert np.any(fed.codes != plain.codes)
    assert fed.error == plain.error


@pytest.mark.parametrize(("large", "are_merged"), [(50, True), (5_000, False)])
def test_close_values_become_one_that_zips_better_if_few_weights_have_them(large: int, are_merged: bool) -> None:
    generator, storage = np.random.default_rng(0), STORAGES["FLOAT32"]
    weights = generator.laplace(0, 0.1, 10_000).clip(-1, 1)
    weights[:large] = generator.uniform(1.3, 2.5, large)
    steps = storage.representable(np.arange(-250, 251) / 100)  # finer than eight bits of mantissa above 1.28
    priced = cluster_on(replace(floats(weights.reshape(50, 200)), well_packed=storage.well_packed), steps)
    assert set(np.unique(priced.codes)) <= set(storage.well_packed(steps) if are_merged else steps)
