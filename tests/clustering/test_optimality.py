"""Codebooks for floats against the optimum that the kmeans1d package finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import kmeans1d
import numpy as np
import pytest
from support.oracles import least_error, squared_error
from support.problems import clustered, floats, integers, to_float32

from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.tflite"
CLUSTERS = [4, 16, 32, 64]
TOLERANCE = 1.001
LARGE = 20_000
"""More values than the histogram keeps apart."""


@dataclass(frozen=True)
class Case:
    """A tensor without zeros, and how many values at its end lie so far out that each takes a centroid."""

    values: np.ndarray
    outliers: int = 0


def made_up() -> dict[str, Case]:
    generator = np.random.default_rng(0)
    normal = generator.standard_normal(LARGE)
    few = normal[:3000]
    signs = generator.choice([-1.0, 1.0], 3000)
    return {
        "normal": Case(normal),
        "laplace": Case(generator.laplace(0, 0.05, LARGE)),
        "student-t, 3 degrees": Case(generator.standard_t(3, LARGE)),
        "student-t, 1 degree": Case(generator.standard_t(1, LARGE)),
        "two humps": Case(np.concatenate((normal[::2] * 0.1 - 1, normal[1::2] * 0.3 + 2))),
        "two narrow humps": Case(np.concatenate((normal[::2] * 1e-4 - 1, normal[1::2] * 1e-4 + 1))),
        "forty spikes": Case(np.concatenate([few[:75] * 1e-3 + place for place in generator.uniform(-1, 1, 40)])),
        "wide and thin": Case(np.concatenate((normal * 0.01, few[:200] * 3))),
        "one outlier": Case(np.append(normal, 1e3), 1),
        "masks of -1e9": Case(np.append(normal, -1e9), 1),
        "both ends of float32": Case(np.append(few, [-3.4e38, 3.4e38]), 2),
        "17 values": Case(normal[:17]),
        "70 values": Case(normal[:70]),
        "300 values": Case(normal[:300]),
        "denormal": Case(few[np.abs(few) > 0.01] * 1e-42),
        "huge": Case(np.clip(normal * 1e38, -3.4e38, 3.4e38)),
        "all scales": Case(10 ** generator.uniform(-30, 30, 3000) * signs),
        "all scales, few": Case(10 ** generator.uniform(-30, 30, 300) * signs[:300]),
        "about one": Case(few * 1e-3 + 1),
    }


def example() -> dict[str, Case]:
    model = open_model(EXAMPLE)
    weights, _ = select(model)
    parts = (np.frombuffer(bytes(model.bytes_of(w.span)), "<f4") for w in weights)
    return {f"example, {weight.tensor.name}": Case(part) for weight, part in zip(weights, parts, strict=True)}


CASES = made_up() | example()


@cache
def kmeans1d_error(name: str, clusters: int) -> float:
    """Error of kmeans1d's centroids, rounded to float32 as they would be stored."""
    case = CASES[name]
    values = np.float32(case.values).astype(np.float64)
    bulk, outliers = values[: values.size - case.outliers], values[values.size - case.outliers :]
    unit = np.abs(bulk).max()
    _, centroids = kmeans1d.cluster(bulk / unit, min(clusters, bulk.size) - case.outliers)
    return nearest_error(values, np.append(to_float32(np.array(centroids) * unit), outliers))


def nearest_error(values: np.ndarray, centroids: np.ndarray) -> float:
    chosen = np.abs(values[:, None] - centroids).argmin(axis=1)
    return squared_error(values, centroids[chosen])


@pytest.mark.slow
@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("name", CASES)
def test_within_a_thousandth_of_the_optimum(name: str, clusters: int) -> None:
    values = np.float32(CASES[name].values)
    assert np.all(values != 0)  # else zero would have to stay, which kmeans1d does not know
    result = clustered(floats(values), clusters)
    assert squared_error(values, result.codes) <= TOLERANCE * kmeans1d_error(name, clusters)
    assert result.values_after <= clusters


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_with_zero_kept(clusters: int) -> None:
    codes = np.round(np.random.default_rng(0).normal(10, 60, 2000)).astype(int)
    counts = {int(code): int(count) for code, count in zip(*np.unique(codes, return_counts=True), strict=True)}
    assert len(counts) > 200
    assert 0 in counts
    result = clustered(floats(codes), clusters)
    error = float(np.square(result.codes.astype(np.float64) - codes).sum())
    assert error <= TOLERANCE * least_error(counts, clusters, pinned=0, whole=False)


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_int16_codes(clusters: int) -> None:
    codes = np.round(np.random.default_rng(0).laplace(0, 2000, (1, 5000))).astype(np.int16)
    codes[codes == 0] = 1
    _, centroids = kmeans1d.cluster(codes[0].astype(np.float64), clusters)
    result = clustered(integers(codes), clusters)
    least = nearest_error(codes[0].astype(float), np.round(centroids))
    assert squared_error(codes[0], result.codes) <= TOLERANCE * least


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 3.4e38, 1e-45])
def test_constant(value: float) -> None:
    result = clustered(floats(np.full(LARGE, value)), 4)
    assert np.all(result.codes == np.float32(value))
    assert (result.values_before, result.values_after) == (1, 1)
