"""Codebooks of a fixed number of values: one-dimensional weighted k-means.

The optimum of k-means in one dimension splits the ascending values into intervals, and dynamic programming finds the
best split (Bellman 1973; Wang and Song, Ckmeans.1d.dp, 2011). On integer codes that runs on the whole histogram. On
floats it runs on a coarse histogram first and then, ever finer, only around the borders found so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .histogram import Array, Histogram

Indices = npt.NDArray[np.intp]
Representable = Callable[[Array], Array]

_COARSE: Final = (256, 512)
"""Least and most bins of the histogram on which the borders of a float codebook are first sought."""

_COARSE_PER_CLUSTER: Final = 8

_REACH: Final = (1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.12, 0.05)
"""How far each pass of the refinement looks around a border, as a share of the way to the next one."""

_CANDIDATES: Final = 33
"""Places that a pass tries for each border."""


@dataclass(frozen=True)
class Intervals:
    """Error of approximating any run of bins by one centroid, from prefix sums."""

    histogram: Histogram
    center: float
    mass: Array
    moment: Array
    energy: Array
    pinned: int | None
    representable: Representable | None

    @classmethod
    def of(cls, histogram: Histogram, pinned: int | None, representable: Representable | None = None) -> Intervals:
        """Prefix sums about the median and outward from it, so that no outlier drowns the values before it."""
        middle = int(np.searchsorted(np.cumsum(histogram.weights), histogram.weights.sum() / 2))
        center = float(histogram.values[middle])
        values = histogram.values - center
        mass, moment, energy = (_outward_sums(histogram.weights * values**power, middle) for power in range(3))
        return cls(histogram, center, mass, moment, energy, pinned, representable)

    def fit(self, first: Indices, stop: Indices) -> tuple[Array, Array]:
        """Squared error and centroid of the bins [first, stop), element by element; an empty run costs infinity."""
        mass = self.mass[stop] - self.mass[first]
        moment = self.moment[stop] - self.moment[first]
        occupied = mass > 0
        centroid = np.divide(moment, mass, out=np.zeros_like(mass), where=occupied) + self.center
        centroid = self._allowed(centroid, first, stop)
        offset = centroid - self.center
        error = self.energy[stop] - self.energy[first] - 2 * offset * moment + offset**2 * mass
        return np.where(occupied, np.maximum(error, 0.0), np.inf), centroid

    def centroids(self, borders: Indices) -> Array:
        """Centroid of each run between borders, summed up by itself: prefix sums lose what is small in what is far."""
        means = self.histogram.merged(borders[:-1]).values
        return self._allowed(means, borders[:-1], borders[1:])

    def _allowed(self, means: Array, first: Indices, stop: Indices) -> Array:
        """What can be stored instead of the means of the bins [first, stop), with the pinned value where it is."""
        centroids = means if self.representable is None else self.representable(means)
        if self.pinned is None:
            return centroids
        holds_pinned = (first <= self.pinned) & (self.pinned < stop)
        return np.where(holds_pinned, self.histogram.values[self.pinned], centroids)


def _outward_sums(terms: Array, middle: int) -> Array:
    """S with S[stop] - S[first] the sum of terms[first:stop], and S[middle] = 0."""
    return np.concatenate((-np.cumsum(terms[:middle][::-1])[::-1], [0.0], np.cumsum(terms[middle:])))


def optimal_codebook(
    histogram: Histogram, clusters: int, pinned: int | None = None, representable: Representable | None = None
) -> Array:
    """The `clusters` or fewer centroids of least weighted squared error, ascending.

    pinned: index of a histogram value that must itself be a centroid (the zero point).
    representable: rounds centroids to what the storage type can hold; the optimum is then that among such values.
    Takes O(clusters x bins²) time and O(bins²) memory: for histograms of some hundred bins.
    """
    if len(histogram) <= clusters:
        return histogram.values
    intervals = Intervals.of(histogram, pinned, representable)
    borders = _optimal_borders(intervals, clusters)
    return _ascending(intervals.centroids(borders))


def float_codebook(fine: Histogram, clusters: int, representable: Representable | None = None) -> Array:
    """The `clusters` or fewer centroids for floats, ascending, zero among them if the histogram holds it.

    Within a thousandth of the least squared error for up to 64 clusters. `representable` as in optimal_codebook.
    """
    if len(fine) <= clusters:
        return fine.values
    parts = int(np.clip(_COARSE_PER_CLUSTER * clusters, *_COARSE))
    if len(fine) <= parts:
        return optimal_codebook(fine, clusters, fine.index_of(0.0), representable)
    edges = _companded_edges(fine, parts)
    coarse = fine.merged(edges)
    borders = _optimal_borders(Intervals.of(coarse, coarse.index_of(0.0)), clusters)
    borders = np.append(edges, len(fine))[borders]
    intervals = Intervals.of(fine, fine.index_of(0.0))
    for reach in _REACH:
        borders = _refined_borders(intervals, borders, reach)
    centroids = intervals.centroids(borders)
    return _ascending(representable(centroids) if representable else centroids)


def _ascending(centroids: Array) -> Array:
    distinct: Array = np.unique(centroids)
    return distinct


def nearest(values: npt.NDArray[Any], centroids: Array) -> Indices:
    """Index of the nearest centroid (ascending) of each value; the lower one on a tie."""
    return np.searchsorted(borders(centroids, values.dtype), values, side="left")


def borders(centroids: Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The upper border of each centroid's cell but the last, (centroids - 1,); centroids ascend.

    For a float type, a border is the largest value of this type that belongs to the cell.
    """
    middles = (centroids[1:] + centroids[:-1]) / 2
    if not np.issubdtype(dtype, np.floating):
        return middles
    rounded = middles.astype(dtype)  # compare in the values' own type, without a float64 copy of them
    return np.where(rounded > middles, np.nextafter(rounded, dtype.type(-np.inf)), rounded)


def _optimal_borders(intervals: Intervals, clusters: int) -> Indices:
    """First bin of each interval of the best split into at most `clusters`, and the number of bins at the end."""
    bins = len(intervals.histogram)
    first, last = np.indices((bins, bins), sparse=True)
    costs = intervals.fit(first, np.maximum(last + 1, first))[0]
    best = costs[0]
    starts: list[Indices] = []
    for _ in range(1, clusters):
        candidates = costs[1:] + best[:-1, None]  # the last interval begins at bin 1, 2, ...
        start = candidates.argmin(axis=0)
        split = candidates[start, np.arange(bins)]
        pays = split < best
        starts.append(np.where(pays, start + 1, 0))
        best = np.where(pays, split, best)
    borders, stop = [bins], bins
    for start in reversed(starts):
        if start[stop - 1]:
            stop = int(start[stop - 1])
            borders.append(stop)
    return np.array([0, *reversed(borders)], np.intp)


def _refined_borders(intervals: Intervals, borders: Indices, reach: float) -> Indices:
    """The best borders among places around the given ones, all moved together: a dynamic programme over a trellis."""
    gaps = np.diff(borders)
    steps = np.linspace(-reach, reach, _CANDIDATES)[:, None]
    room = np.where(steps < 0, gaps[:-1], gaps[1:])
    moves = np.round(steps * room).astype(np.intp).T
    places = np.clip(borders[1:-1, None] + moves, 1, borders[-1] - 1)
    ends = np.full((1, _CANDIDATES), 1)
    trellis = np.concatenate((0 * ends, places, borders[-1] * ends))
    first, stop = trellis[:-1, :, None], trellis[1:, None, :]
    costs = intervals.fit(first, np.maximum(first, stop))[0]
    best, choices = costs[0, 0], list[Indices]()
    for cost in costs[1:]:
        total = best[:, None] + cost
        choices.append(total.argmin(axis=0))
        best = total.min(axis=0)
    chosen, column = [borders[-1]], 0
    for places_here, choice in zip(places[::-1], reversed(choices), strict=True):
        column = choice[column]
        chosen.append(places_here[column])
    return np.array([0, *reversed(chosen)], np.intp)


def _companded_edges(fine: Histogram, parts: int) -> Indices:
    """First bins of about `parts` runs of equal share of density^(1/3), how optimal centroids are spread (Panter and
    Dite 1951). Zero and both ends stay runs of their own.
    """
    share = np.cbrt(fine.weights * np.gradient(fine.values) ** 2)
    share = np.cumsum(np.minimum(share, _cap(share, parts)))
    edges = np.searchsorted(share, share[-1] * np.linspace(0, 1, parts, endpoint=False))
    zero = fine.index_of(0.0)
    kept = [0, 1, len(fine) - 1] + ([] if zero is None else [zero, zero + 1])
    edges = np.unique(np.concatenate((edges, kept)))
    return edges[edges < len(fine)]


def _cap(shares: Array, parts: int) -> float:
    """What a bin counts at most, so that each of `parts` equal parts may hold a bin beside a gap, but none several."""
    ascending = np.sort(shares)
    caps = np.cumsum(ascending)[: -parts - 1 : -1] / np.arange(parts, 0, -1)  # with the 0, 1, ... largest cut to it
    return float(caps[np.argmax(ascending[: -parts - 1 : -1] <= caps)])
