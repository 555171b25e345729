"""Codebooks and assignments kept close to those of an earlier version, so that a patch between the two is small.

A patch is small where equal bytes stand in equal places. Two things make them equal:

1. The values of the earlier codebook are used again, as many of them as the price calls for. If it calls for more
values than there were, further ones are put between and beyond them. 2. A weight keeps its earlier value unless another
one lowers the error by more than the bits of a change are worth (`Held`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Final

import numpy as np

from .codebook import Representable, nearest, optimal_codebook
from .entropy import EntropyCodebook, entropy_codebook, integer_entropy_codebook
from .histogram import Array, Floats, Histogram, Indices, Numbers, Reals

_PARTS: Final = (1, 2, 3)
"""Numbers of parts to divide the steps between earlier values into, tried in this order."""

_BITS_OF_CHANGE: Final = 4.0
"""Extra bits that a weight costs in a patch if it changes. A change has to be worth them. With 8, patches of small
models were about as large, and zips were larger.
"""

_TRIED: Final = 64
_STEPS: Final = 8
"""Places that are tried for a further value, and steps of its refinement."""

AS_CHEAP: Final = 1.1
"""A codebook of earlier values may cost this many times as much as the best codebook of any values."""


@dataclass(frozen=True)
class Prior:
    """What the earlier version holds: codes relative to zero, (rows, columns).

    is_float: whether codes are real values. scale: real size of an integer code in each row, (rows,), if rows have one.
    """

    codes: Floats
    is_float: bool
    scale: Array | None

    @cached_property
    def values(self) -> Array:
        """The distinct codes, ascending."""
        ordered = np.sort(self.codes, axis=None).astype(np.float64)
        values: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])]
        return values

    def held(self, centroids: Array, price: float, scale: Array) -> Held:
        """The earlier values that weights can keep on a codebook, at a price in squared real units per bit.

        scale: real size of a code in each row, (rows,).
        """
        indices = np.minimum(np.searchsorted(centroids, self.codes), len(centroids) - 1)
        is_there = centroids.astype(np.float32)[indices] == self.codes
        slack = _BITS_OF_CHANGE * price / np.maximum(scale, np.finfo(np.float32).tiny) ** 2
        return Held(np.where(is_there, indices, -1), slack)


@dataclass(frozen=True)
class Held:
    """Centroids that weights had before: their indices (rows, columns), -1 for none.

    slack: by how much lower another centroid's squared error must be to take their place, in each row, (rows,).
    """

    indices: Indices
    slack: Array

    def part(self, rows: Indices | slice, columns: Indices | slice = slice(None)) -> Held:
        """The same for some of the rows, and for some of their columns or these in another order."""
        return Held(self.indices[rows][:, columns], self.slack[rows])

    def in_order(self, order: Indices) -> Held:
        """The same with the columns of each row in an order of its own, (rows, columns)."""
        return Held(np.take_along_axis(self.indices, order, 1), self.slack)

    def kept(self, values: Reals, nearest: Numbers, book: Reals, column: int | None = None) -> Indices:
        """Centroid for each value of one column, (rows,), or of all: the earlier where it is kept, else the nearest."""
        before = self.indices if column is None else self.indices[:, column]
        slack = self.slack[:, None] if column is None else self.slack
        error, least = (np.square(values - book[indices]) for indices in (before, nearest))
        return np.where((before >= 0) & (error <= least + slack), before, nearest)


def drawn_at_price(
    histogram: Histogram, counts: Array | None, price: float, representable: Representable, prior: Prior
) -> EntropyCodebook:
    """A codebook of earlier values, with as few others beyond and between them as possible.

    counts: how many codes each bin holds where that differs from its weight, as for integers; else None. If each costs
    more than AS_CHEAP times the best codebook of any values, the best one is taken.
    """
    total = float(np.sum(histogram.weights if counts is None else counts))

    def cost(book: EntropyCodebook) -> float:
        return book.error + price * book.entropy * total

    def found(near: Representable, edges: Indices | None = None) -> EntropyCodebook:
        if counts is None:
            return entropy_codebook(histogram, price, near, edges)
        return integer_entropy_codebook(histogram, counts, price, near)

    def among(allowed: Array) -> EntropyCodebook:
        edges = np.searchsorted(histogram.values, (allowed[1:] + allowed[:-1]) / 2)
        return found(partial(_snapped, allowed), np.unique(np.concatenate(([0], edges, [len(histogram)]))))

    def whole(values: Array) -> EntropyCodebook:
        cells = nearest(histogram.values, values)
        shares = np.bincount(cells, histogram.weights if counts is None else counts, len(values)) / total
        bits = -np.log2(np.maximum(shares, 1 / total))
        error = float(histogram.weights @ np.square(histogram.values - values[cells]))
        return EntropyCodebook(values, bits, float(shares @ bits), error)

    free = found(representable)
    earlier = prior.values if histogram.index_of(0.0) is None else np.union1d(prior.values, 0.0)
    beyond = free.centroids[(free.centroids < earlier[0]) | (free.centroids > earlier[-1])]
    further = (np.union1d(_between(earlier, parts, representable), beyond) for parts in _PARTS)
    drawn = chain([whole(earlier)], (among(allowed) for allowed in chain([earlier], further)))
    return next((book for book in drawn if cost(book) <= AS_CHEAP * cost(free)), free)


def _snapped(allowed: Array, values: Array) -> Array:
    return allowed[nearest(values, allowed)]


def drawn_to_count(histogram: Histogram, clusters: int, representable: Representable, prior: Prior) -> Array:
    """A codebook of at most `clusters` values: some of the earlier ones, or all of them and the best further ones."""
    values = prior.values if histogram.index_of(0.0) is None else np.union1d(prior.values, 0.0)
    if len(values) > clusters:
        cells = np.bincount(nearest(histogram.values, values), histogram.weights, len(values)).astype(np.float64)
        used = Histogram(values[cells > 0], cells[cells > 0])
        return optimal_codebook(used, clusters, used.index_of(0.0), partial(_snapped, used.values))
    while len(values) < clusters:
        extended = np.union1d(values, representable(_best_addition(histogram, values)))
        if len(extended) == len(values):
            break
        values = extended
    return values


def _best_addition(histogram: Histogram, values: Array) -> Array:
    """The value that lowers the squared error most if it joins the others, (1,)."""
    error = histogram.weights * np.square(histogram.values - values[nearest(histogram.values, values)])
    middles = (values[1:] + values[:-1]) / 2
    tried = np.concatenate((np.linspace(histogram.values[0], histogram.values[-1], _TRIED), middles))
    gains = [np.sum(np.maximum(error - _errors(histogram, value), 0.0)) for value in tried]
    best = float(tried[int(np.argmax(gains))])
    for _ in range(_STEPS):
        mine = _errors(histogram, best) < error
        if not mine.any():
            break
        best = float(np.average(histogram.values[mine], weights=histogram.weights[mine]))
    return np.array([best])


def _errors(histogram: Histogram, value: float) -> Array:
    return histogram.weights * np.square(histogram.values - value)


def _between(values: Array, parts: int, representable: Representable) -> Array:
    """The values, and further ones that divide the steps between them into so many parts."""
    steps = np.diff(values) / parts
    further = [values[:-1] + steps * part for part in range(1, parts)]
    return np.union1d(values, representable(np.concatenate([values[:0], *further])))
