"""Entropy-constrained codebooks against the best of all partitions, found by plain and slow means."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import least_cost
from support.problems import to_codes, to_float32

from tflite_cluster.clustering.entropy import EntropyCodebook, entropy_codebook, integer_entropy_codebook
from tflite_cluster.clustering.histogram import Histogram, value_histogram
from tflite_cluster.model.storage import STORAGES

Floats = np.ndarray
PRICES = [1e-6, 1e-4, 1e-3, 1e-2, 0.1]


def cost(book: EntropyCodebook, total: float, price: float) -> float:
    return book.error + price * total * book.entropy


def histogram(values: Floats) -> Histogram:
    return value_histogram(np.sort(values.astype(np.float32)))


def brute_force(values: Floats, weights: Floats, counts: Floats, price: float, zero: int) -> float:
    """Least cost of all contiguous partitions of codes relative to zero, zero at zero, int8 centroids elsewhere."""
    total, least = counts.sum(), math.inf
    for parts in range(1, len(values) + 1):
        for cuts in combinations(range(1, len(values)), parts - 1):
            runs = [slice(a, b) for a, b in pairwise([0, *cuts, len(values)])]
            least = min(least, sum(run_cost(values[r], weights[r], counts[r], price, zero, total) for r in runs))
    return least


def run_cost(values: Floats, weights: Floats, counts: Floats, price: float, zero: int, total: float) -> float:
    stored = (np.arange(-128.0, 128.0) - zero) if 0 not in values else np.zeros(1)
    error = (weights * np.square(values - stored[:, None])).sum(axis=1).min()
    return float(error - price * counts.sum() * np.log2(counts.sum() / total))


@st.composite
def integer_problems(draw: st.DrawFn) -> tuple[Floats, Floats, Floats, int]:
    """Relative codes that int8 can hold around its zero, weights, and counts that are not in proportion to them."""
    zero = draw(st.integers(-128, 127))
    near = st.integers(max(-128, zero - 12), min(127, zero + 12))
    codes = sorted(draw(st.sets(near, min_size=1, max_size=8)))
    numbers = st.lists(st.integers(1, 50), min_size=len(codes), max_size=len(codes))
    return np.array(codes, float) - zero, np.array(draw(numbers)) / 7, np.array(draw(numbers), float), zero


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(integer_problems(), st.sampled_from([1e-9, 0.01, 0.3, 3.0, 100.0]))
def test_integer_codebooks_are_the_best_of_all_partitions(
    problem: tuple[Floats, Floats, Floats, int], price: float
) -> None:
    values, weights, counts, zero = problem
    in_range = to_codes(-128, 127)
    book = integer_entropy_codebook(Histogram(values, weights), counts, price, lambda c: in_range(c + zero) - zero)
    assert cost(book, counts.sum(), price) == pytest.approx(brute_force(values, weights, counts, price, zero), abs=1e-9)
    assert np.all(np.diff(book.centroids) > 0)
    stored = book.centroids + zero
    np.testing.assert_array_equal(stored, np.round(stored))
    assert stored.min() >= -128
    assert stored.max() <= 127
    if 0 in values:
        assert 0 in book.centroids


@settings(deadline=None, max_examples=50)
@given(integer_problems(), st.sampled_from([0.01, 0.3, 3.0]))
def test_integer_error_and_entropy_are_those_of_the_runs(
    problem: tuple[Floats, Floats, Floats, int], price: float
) -> None:
    values, weights, counts, _ = problem
    book = integer_entropy_codebook(Histogram(values, weights), counts, price, np.round)
    held = np.round(np.exp2(-book.bits) * counts.sum())
    stops = np.searchsorted(np.cumsum(counts), np.cumsum(held)) + 1
    assert stops[-1] == len(values)
    owner = np.searchsorted(stops, np.arange(len(values)), side="right")
    assert book.error == pytest.approx(weights @ np.square(values - book.centroids[owner]), abs=1e-9)
    shares = held / counts.sum()
    assert book.entropy == pytest.approx(-shares @ np.log2(shares))


def samples(kind: str, count: int = 150) -> Floats:
    generator = np.random.default_rng(7)
    draws = {
        "normal": generator.standard_normal,
        "laplace": lambda size: generator.laplace(0, 0.7, size),
        "heavy tails": lambda size: generator.standard_t(2, size),
        "two humps": lambda size: generator.choice([-1.0, 2.0], size) + 0.1 * generator.standard_normal(size),
        "not about zero": lambda size: 5 + generator.standard_normal(size),
        "half zeros": lambda size: generator.standard_normal(size) * (generator.random(size) < 0.5),
    }
    return draws[kind](count)


KINDS = ["normal", "laplace", "heavy tails", "two humps", "not about zero", "half zeros"]


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("kind", KINDS)
def test_float_codebooks_cost_little_more_than_the_optimum(kind: str, price: float) -> None:
    fine = histogram(samples(kind))
    book = entropy_codebook(fine, price, to_float32)
    pinned = 0.0 if 0 in fine.values else None
    least = least_cost(fine.values, fine.weights, price, pinned)
    # What Lloyd's steps settle on is a local optimum, and the less the fewer values there are.
    assert least * (1 - 1e-6) <= cost(book, fine.weights.sum(), price) <= least * 1.06


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_price_keeps_every_value_and_a_huge_one_hardly_any(kind: str) -> None:
    fine = histogram(samples(kind))
    everything = entropy_codebook(fine, 1e-14, to_float32)
    np.testing.assert_array_equal(everything.centroids, fine.values)
    assert everything.error == pytest.approx(0, abs=1e-9)
    assert len(entropy_codebook(fine, 1e4, to_float32).centroids) <= 2


def test_what_is_reported_is_real() -> None:
    for kind in KINDS:
        fine = histogram(samples(kind, 5000))
        book = entropy_codebook(fine, 1e-3, to_float32)
        shares = np.exp2(-book.bits)
        assert shares.sum() == pytest.approx(1)
        assert book.entropy == pytest.approx(shares @ book.bits)
        distance = np.square(fine.values[:, None] - book.centroids)
        owner = np.argmin(distance + 1e-3 * book.bits, axis=1)
        found = np.bincount(owner, fine.weights, len(shares)) / fine.weights.sum()
        np.testing.assert_allclose(found, shares, rtol=0.02, atol=2e-3)
        assert book.error == pytest.approx(fine.weights @ distance[np.arange(len(fine)), owner], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_price_buys_fewer_bits_and_more_error(kind: str) -> None:
    fine = histogram(samples(kind, 20_000))
    books = [entropy_codebook(fine, price, to_float32) for price in np.geomspace(1e-6, 1, 25)]
    assert all(dear.entropy <= cheap.entropy + 1e-3 for cheap, dear in pairwise(books))
    assert all(dear.error >= cheap.error * 0.999 for cheap, dear in pairwise(books))
    assert books[0].entropy > books[-1].entropy + 3


def test_zero_stays_zero() -> None:
    fine = histogram(samples("half zeros"))
    for price in PRICES:
        assert 0 in entropy_codebook(fine, price, to_float32).centroids


@pytest.mark.parametrize("values", [[-1.0, 1.0], [-0.3, -0.1, 0.1, 0.3], [-2.0, 1e-3, 2.0]])
def test_no_zero_is_made_up(values: list[float]) -> None:
    fine = histogram(np.repeat(values, 100))
    book = entropy_codebook(fine, 1e-9, to_float32)
    np.testing.assert_array_equal(book.centroids, np.float32(values))
    assert book.error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("price", [1e-9, 1e-3])
def test_centroids_are_what_the_type_holds(kind: str, price: float) -> None:
    storage = STORAGES[kind]
    book = entropy_codebook(histogram(samples("laplace", 3000)), price, storage.representable)
    np.testing.assert_array_equal(storage.representable(book.centroids), book.centroids)
    assert np.all(np.diff(book.centroids) > 0), "values that were rounded together are one"
    assert np.exp2(-book.bits).sum() == pytest.approx(1)


def test_an_outlier_takes_no_values_from_the_bulk() -> None:
    values = samples("normal", 20_000)
    alone = entropy_codebook(histogram(values), 1e-3, to_float32)
    beside = entropy_codebook(histogram(np.append(values, 1e4)), 1e-3, to_float32)
    assert beside.centroids[-1] == 1e4
    assert beside.entropy == pytest.approx(alone.entropy, abs=0.02)
    assert beside.error == pytest.approx(alone.error, rel=0.02)


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e12])
def test_the_scale_of_the_values_does_not_matter(scale: float) -> None:
    plain = entropy_codebook(histogram(samples("laplace")), 1e-3, to_float32)
    scaled = entropy_codebook(histogram(samples("laplace") * scale), 1e-3 * scale**2, to_float32)
    assert scaled.entropy == pytest.approx(plain.entropy, rel=1e-3)
    np.testing.assert_allclose(scaled.centroids, plain.centroids * scale, rtol=0.01, atol=1e-3 * scale)


def test_a_single_value_costs_nothing() -> None:
    book = entropy_codebook(histogram(np.full(10, 0.25)), 1e-3, to_float32)
    assert (book.centroids.tolist(), book.entropy, book.error) == ([0.25], 0, 0)
