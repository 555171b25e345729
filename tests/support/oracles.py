"""Slow and plain ways to the optimum, written without a look at the product's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def brute_force_error(
    values: Sequence[float],
    weights: Sequence[float],
    clusters: int,
    pinned: float | None = None,
    centroids_of: Callable[[float], float] = float,
) -> float:
    """Least weighted squared error of any partition of ascending values into at most `clusters` runs.

    `pinned` must be a centroid; `centroids_of` rounds a mean to what can be stored.
    """
    count = len(values)
    least = math.inf
    for parts in range(1, min(clusters, count) + 1):
        for cuts in combinations(range(1, count), parts - 1):
            borders = [0, *cuts, count]
            error = sum(_run_error(values[a:b], weights[a:b], pinned, centroids_of) for a, b in pairwise(borders))
            least = min(least, error)
    return least


def _run_error(
    values: Sequence[float], weights: Sequence[float], pinned: float | None, centroids_of: Callable[[float], float]
) -> float:
    mean = math.fsum(w * v for v, w in zip(values, weights, strict=True)) / math.fsum(weights)
    centroid = pinned if pinned is not None and pinned in values else centroids_of(mean)
    return math.fsum(w * (v - centroid) ** 2 for v, w in zip(values, weights, strict=True))


def least_error(counts: dict[int, int], clusters: int, pinned: int | None, whole: bool = True) -> float:
    """Least squared error for a histogram of integers by plain dynamic programming.

    With `whole` centroids all arithmetic is that of integers, and so is the result.
    """
    codes = sorted(counts)
    size = len(codes)
    run: list[list[float]] = [[0] * (size + 1) for _ in range(size + 1)]
    for first in range(size):
        mass = moment = energy = 0
        for stop in range(first + 1, size + 1):
            code, count = codes[stop - 1], counts[codes[stop - 1]]
            mass, moment, energy = mass + count, moment + count * code, energy + count * code * code
            if pinned in counts and codes[first] <= pinned <= code:
                run[first][stop] = energy - 2 * pinned * moment + pinned * pinned * mass
            elif whole:
                floor = moment // mass
                run[first][stop] = min(energy - 2 * c * moment + c * c * mass for c in (floor, floor + 1))
            else:
                run[first][stop] = energy - moment * moment / mass
    best = run[0][:]
    for _ in range(clusters - 1):
        best = [0, *(min(best[first] + run[first][stop] for first in range(stop)) for stop in range(1, size + 1))]
    return best[size]


def squared_error(values: npt.NDArray[np.generic], approximated: npt.NDArray[np.generic]) -> float:
    """Sum of squared differences, relative to the square of the largest value so that nothing overflows."""
    before = values.astype(np.float64)
    change = approximated.astype(np.float64) - before
    return float(np.square(change / np.abs(before).max()).sum())


def least_cost(values: Floats, weights: Floats, price: float, pinned: float | None) -> float:
    """Least weighted squared error plus price for each bit of entropy of any split of ascending values into runs.

    The centroid of the run that holds `pinned` must be it.
    """
    mass, moment, energy = (np.append(0, np.cumsum(weights * values**power)) for power in range(3))
    best = np.zeros(len(values) + 1)
    for stop in range(1, len(values) + 1):
        m, s, e = mass[stop] - mass[:stop], moment[stop] - moment[:stop], energy[stop] - energy[:stop]
        errors = e - s**2 / m
        if pinned is not None:
            holds = np.arange(stop) <= np.searchsorted(values, pinned)
            holds &= pinned <= values[stop - 1]
            errors = np.where(holds, e - 2 * pinned * s + pinned**2 * m, errors)
        best[stop] = np.min(best[:stop] + errors - price * m * np.log2(m / mass[-1]))
    return float(best[-1])
