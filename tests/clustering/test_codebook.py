from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.oracles import brute_force_error, least_error
from support.problems import clustered, integers

from tflite_cluster.clustering.codebook import nearest, optimal_codebook
from tflite_cluster.clustering.histogram import Histogram

eighths = st.integers(-1000, 1000).map(lambda eighth: eighth / 8)
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
histograms = st.dictionaries(eighths, st.integers(1, 1000).map(lambda tenth: tenth / 10), min_size=1, max_size=8)


def error_of(codebook: np.ndarray, values: list[float], weights: list[float]) -> float:
    return sum(w * min((v - c) ** 2 for c in codebook) for v, w in zip(values, weights, strict=True))


@pytest.mark.slow
@given(histograms, st.integers(2, 5), st.booleans(), st.data())
def test_optimal_codebook_is_as_good_as_the_best_of_all_partitions(
    histogram: dict[float, float], clusters: int, pin: bool, data: st.DataObject
) -> None:
    values = sorted(histogram)
    weights = [histogram[value] for value in values]
    pinned = data.draw(st.integers(0, len(values) - 1)) if pin else None
    codebook = optimal_codebook(Histogram(np.array(values), np.array(weights)), clusters, pinned)
    pinned_value = None if pinned is None else values[pinned]
    least = brute_force_error(values, weights, clusters, pinned_value)
    assert error_of(codebook, values, weights) == pytest.approx(least, rel=1e-9, abs=1e-9)
    assert len(codebook) <= clusters
    assert np.all(np.diff(codebook) > 0)
    assert pinned_value is None or pinned_value in codebook


@given(
    st.dictionaries(st.integers(-30, 30), st.integers(1, 50), min_size=1, max_size=8), st.integers(2, 5), st.booleans()
)
def test_whole_centroids_are_the_best_whole_ones(histogram: dict[int, int], clusters: int, pin: bool) -> None:
    codes = sorted(histogram)
    weights = [float(histogram[code]) for code in codes]
    values = [float(code) for code in codes]
    codebook = optimal_codebook(
        Histogram(np.array(values), np.array(weights)), clusters, 0 if pin else None, representable=np.round
    )
    pinned = values[0] if pin else None
    assert error_of(codebook, values, weights) == brute_force_error(values, weights, clusters, pinned, round)
    assert np.array_equal(codebook, np.round(codebook))


@pytest.mark.parametrize("clusters", [2, 4, 16, 32])
@pytest.mark.parametrize("zero", ["held", "pinned by none"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_codes_are_clustered_as_exact_arithmetic_would(dtype: str, zero: str, clusters: int) -> None:
    generator = np.random.default_rng(clusters)
    limits = np.iinfo(dtype)
    middle = (limits.min + limits.max + 1) // 2
    scales = np.array([1, 2, 3, 5, 7])
    spread = generator.laplace(middle, 30 / scales[:, None], (5, 4000))
    codes = np.clip(np.round(spread), limits.min, limits.max).astype(dtype)
    if zero == "held":
        zero_point = middle + 3
        codes[:, 0] = zero_point
    else:
        zero_point = middle
        codes[codes == zero_point] += 1

    result = clustered(integers(codes, scales, zero_point), clusters).codes.reshape(codes.shape)

    counts: dict[int, int] = {}
    for row, scale in zip(codes.tolist(), scales.tolist(), strict=True):
        for code in row:
            counts[code] = counts.get(code, 0) + scale * scale
    change = (result.astype(np.int64) - codes) * scales[:, None]
    assert int((change**2).sum()) == least_error(counts, clusters, zero_point)
    assert len(np.unique(result)) <= clusters
    assert (zero_point in result) == (zero == "held")
    assert np.all(result[codes == zero_point] == zero_point)


@given(st.lists(float32, min_size=1, max_size=20), st.sets(float32, min_size=1, max_size=8))
@example([1.0 + 2.0**-23], {1.0, 1.0 + 2.0**-22})
@example([1.0, -1.0], {0.0, 2.0, -2.0})
@example([0.0, -0.0, 1e-45], {-1e-45, 1e-45})
@example([3.4e38, -3.4e38], {-3.4028234663852886e38, 3.4028234663852886e38})
def test_nearest_is_the_nearest_and_the_lower_of_two(values: list[float], centroids: set[float]) -> None:
    ascending = sorted(centroids)
    chosen = nearest(np.array(values, np.float32), np.array(ascending))
    for value, index in zip(values, chosen.tolist(), strict=True):
        distances = [abs(Fraction(value) - Fraction(centroid)) for centroid in ascending]
        tolerance = Fraction(max(map(abs, ascending))) / 2**52  # of a middle between centroids, which is a float64
        assert distances[index] <= min(distances) + tolerance
        assert index == 0 or distances[index - 1] > distances[index] - tolerance


@given(
    st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    st.sets(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
)
def test_nearest_of_half_precision_values(values: list[float], centroids: set[float]) -> None:
    ascending = np.array(sorted(centroids))
    chosen = ascending[nearest(np.array(values, np.float32), ascending)]
    least = np.abs(np.array(values)[:, None] - ascending).min(axis=1)
    assert np.array_equal(np.abs(chosen - values), least)


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20), st.sets(st.integers(-128, 127), min_size=1))
def test_nearest_of_codes(values: list[int], centroids: set[int]) -> None:
    ascending = sorted(centroids)
    chosen = nearest(np.array(values, np.int8), np.array(ascending, np.float64))
    expected = [min(range(len(ascending)), key=lambda i: abs(ascending[i] - value)) for value in values]
    assert chosen.tolist() == expected
