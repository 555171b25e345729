"""Entropy-constrained codebooks: the least squared error at a price per bit.

They minimise  sum of weight x (value - centroid)² + price x bits(centroid),  where bits is -log2 of the share of the
centroid (Chou, Lookabaugh and Gray, Entropy-constrained vector quantization, 1989; for networks Choi et al.,
1612.01543, section 4). The number of centroids follows from the price. For floats:

1. Begin with the cells of a uniform grid, finer than the price calls for.
2. Move each centroid to the mean of its cell, rounded to a value that the type can hold.
3. Compute the bits of each centroid from its share.
4. Move the borders to where the next centroid becomes cheaper, and drop centroids that are cheapest nowhere.
5. Repeat from step 2 until the cost settles.

Integer codes have few bins, so that dynamic programming finds the optimum (`integer_entropy_codebook`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .codebook import Intervals, Representable
from .histogram import Array, Histogram

_STEP_OF_PRICE: Final = math.sqrt(6 / math.log(2))
"""A uniform quantiser of step s at high rate pays s² ln(2) / 6 in squared error for its last bit."""

_START: Final = 0.5
"""Spacing of the first cells as a share of that step."""

_MOST_STEPS: Final = 60
_SETTLED: Final = 1e-5


@dataclass(frozen=True)
class EntropyCodebook:
    """Ascending centroids with the bits each costs; entropy in bits per weight, and the squared error of the fit."""

    centroids: Array
    bits: Array
    entropy: float
    error: float


def entropy_codebook(
    fine: Histogram, price: float, representable: Representable, edges: npt.NDArray[np.intp] | None = None
) -> EntropyCodebook:
    """The codebook for a price in squared units of the values per bit and unit of weight.

    Zero stays a centroid if the histogram holds it. Centroids are rounded to what the type can hold. edges: bounds of
    the first cells, as indices of bins; by default those of a grid.
    """
    mass = np.concatenate(([0.0], np.cumsum(fine.weights)))
    moment = np.concatenate(([0.0], np.cumsum(fine.weights * fine.values)))
    energy = float(fine.weights @ fine.values**2)
    if edges is None:
        edges = _first_cells(fine.values, _START * _STEP_OF_PRICE * math.sqrt(price))
    pins_zero = fine.index_of(0.0) is not None
    previous = math.inf
    for _ in range(_MOST_STEPS):
        weights, sums = np.diff(mass[edges]), np.diff(moment[edges])
        centroids = sums / weights
        if pins_zero:
            centroids[np.abs(centroids).argmin()] = 0.0
        centroids, weights, sums = _merged(representable(centroids), weights, sums)
        bits = -np.log2(weights / mass[-1])
        error = max(energy - float(np.sum(centroids * (2 * sums - centroids * weights))), 0.0)
        cost = error + price * float(weights @ bits)
        if previous - cost <= _SETTLED * cost:
            break
        previous = cost
        middles = _borders(centroids, bits, price)
        edges = np.unique(np.concatenate(([0], np.searchsorted(fine.values, middles, side="right"), [len(fine)])))
    return EntropyCodebook(centroids, bits, float(weights @ bits) / float(mass[-1]), error)


def _first_cells(values: Array, step: float) -> npt.NDArray[np.intp]:
    """Bounds of the occupied cells of a grid of that step, one of them centred on zero."""
    cells = np.rint(values / step)
    return np.concatenate(([0], np.flatnonzero(np.diff(cells)) + 1, [len(values)]))


def _merged(centroids: Array, weights: Array, sums: Array) -> tuple[Array, Array, Array]:
    """Cells whose centroids were rounded to the same value, as one."""
    first = np.flatnonzero(np.append(True, np.diff(centroids) > 0))
    return centroids[first], np.add.reduceat(weights, first), np.add.reduceat(sums, first)


def _borders(centroids: Array, bits: Array, price: float) -> Array:
    """Where the cheapest centroid changes; centroids that are cheapest nowhere are passed over.

    Without value², the cost of each centroid is a straight line in the value: the cheapest form the lower envelope.
    """
    kept = np.arange(len(centroids))
    while True:
        centroid, bit = centroids[kept], bits[kept]
        borders: Array = (centroid[1:] + centroid[:-1]) / 2 + price * np.diff(bit) / (2 * np.diff(centroid))
        beaten = np.flatnonzero(borders[1:] <= borders[:-1]) + 1
        if not len(beaten):
            return borders
        # Of neighbours only every other one goes, as that may save the next.
        alone = np.append(True, np.diff(beaten) > 1) | (np.arange(len(beaten)) % 2 == 0)
        kept = np.delete(kept, beaten[alone])


def integer_entropy_codebook(
    histogram: Histogram, counts: Array, price: float, representable: Representable
) -> EntropyCodebook:
    """The same for integer codes relative to their zero, whose histogram of some hundred bins can be split at best.

    counts: how many codes each bin holds, which pay the bits, whatever their errors weigh. The bits of a run of bins
    depend on its own share alone, so that the best split up to a bin is the best one up to an earlier bin and one more
    run: exact by dynamic programming.
    """
    intervals = Intervals.of(histogram, histogram.index_of(0.0), representable)
    bins = len(histogram)
    first, last = np.indices((bins, bins), sparse=True)
    stop = np.maximum(last + 1, first)
    errors, centers = intervals.fit(first, stop)
    counted = np.concatenate(([0.0], np.cumsum(counts)))
    mass, total = counted[stop] - counted[first], float(counted[-1])
    shares = np.where(mass > 0, mass, total) / total
    costs = errors - price * mass * np.log2(shares)
    best, starts = np.zeros(bins + 1), np.zeros(bins, np.intp)
    for end in range(bins):
        candidates = best[: end + 1] + costs[: end + 1, end]
        starts[end] = candidates.argmin()
        best[end + 1] = candidates[starts[end]]
    runs, end = list[tuple[int, int]](), bins - 1
    while end >= 0:
        runs.append((int(starts[end]), end))
        end = int(starts[end]) - 1
    chosen = tuple(np.array(runs[::-1]).T)
    centroids, weights, _ = _merged(centers[chosen], mass[chosen], mass[chosen])
    bits = -np.log2(weights / total)
    return EntropyCodebook(centroids, bits, float(weights @ bits) / total, float(errors[chosen].sum()))
