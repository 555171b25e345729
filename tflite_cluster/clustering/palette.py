"""Codebooks for weights that a chip reads as palette indices in a Golomb-Rice code, as Arm's Ethos-U does.

Vela's encoder (mlw_codec in ethos-u-vela 5.2) puts up to 32 values into a palette, the most frequent first. A value
outside it has an index by its magnitude. With a divisor d, an index costs (index >> d) + 1 bits for its unary quotient,
and d bits for the remainder. If no quotient exceeds 2, unary numbers can be cut to two bits. If the palette holds all
values, indices can have a fixed width. The encoder takes the cheapest of these, and so does `palette_bits`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .codebook import nearest, optimal_codebook
from .entropy import integer_entropy_codebook
from .histogram import Array
from .rate import Matrix, Priced, cluster_on

_MOST: Final = 32
"""Values in a palette."""

_DIVISORS: Final = range(6)
_MOST_UNARY: Final = 31
_MOST_CUT: Final = 2
"""Largest quotient of an index, and largest one in two bits."""

_HEADER: Final = 36
_ENTRY: Final = 8
"""Bits before the first index, and for each value in the palette."""

_COUNTS: Final = (4, 6, 8, 12, 16, 24, 32)
"""Numbers of values to try: the lengths of the code grow in steps, and these lie at the steps."""

_PRICES: Final = (0.5, 0.7, 1.0, 1.4)
"""Prices at which entropy codes are tried, as multiples of the price: index lengths are not entropies."""


def palette_bits(values: Array, counts: Array) -> float:
    """Bits of the palette and of all indices.

    values: distinct integers, (n,). counts: how often each occurs, (n,). The encoder stores runs of zeros apart if most
    weights are 0. That is not taken into account.
    """
    order = np.argsort(-counts, kind="stable")
    values, counts = values[order].astype(np.intp), counts[order]
    indices, size = np.arange(len(values)), len(values)
    if len(values) > _MOST:
        size = _MOST if 2 * counts[:_MOST].sum() > counts.sum() else 0
        by_magnitude = 2 * np.abs(values) + (values < 0)
        indices = np.where(indices < size, indices, size + by_magnitude - min(int(by_magnitude.min()), _MOST_UNARY))
    costs = [_golomb_bits(indices, divisor, counts) for divisor in _DIVISORS]
    if size == len(values):
        costs.append(float(counts.sum()) * max(size - 1, 1).bit_length())
    elif size == 0:
        costs.append(float(counts.sum()) * max(int(by_magnitude.max()), 3).bit_length())
    return min(costs) + _HEADER + _ENTRY * size


def _golomb_bits(indices: npt.NDArray[np.intp], divisor: int, counts: Array) -> float:
    quotients = indices >> divisor
    if quotients.max() > _MOST_UNARY:
        return float("inf")
    unary = quotients + 1
    if quotients.max() <= _MOST_CUT:
        unary = np.minimum(unary, _MOST_CUT)
    return float(counts @ (unary + divisor))


def code_bits(codes: npt.NDArray[Any]) -> float:
    """Bits per code of the palette and all indices, for an array of integer codes relative to zero."""
    low = int(codes.min())
    counts = np.bincount(codes.reshape(-1).astype(np.intp) - low)
    present = np.flatnonzero(counts)
    return palette_bits(present.astype(np.float64) + low, counts[present].astype(np.float64)) / codes.size


def palette_codebook(matrix: Matrix, price: float) -> Array:
    """Centroids relative to zero, ascending, of the least error + price x bits among those that suit the code.

    matrix: of integer codes. price: in squared real units per bit. All values are kept if no codebook costs less
    without losing too much.
    """
    histogram, counts = matrix.histogram, matrix.counts
    pinned = histogram.index_of(0.0)
    own = price / matrix.square_scale
    books = [optimal_codebook(histogram, count, pinned, matrix.relative) for count in _COUNTS]
    for multiple in _PRICES:
        books.append(integer_entropy_codebook(histogram, counts, multiple * own, matrix.relative).centroids)
    least = matrix.power / matrix.square_scale * 10 ** (-matrix.least_sqnr / 10)
    best, best_cost = histogram.values, own * palette_bits(histogram.values, counts)
    for book in books:
        places = nearest(histogram.values, book)
        error = float(histogram.weights @ (histogram.values - book[places]) ** 2)
        shares = np.bincount(places, counts, len(book)).astype(np.float64)
        used = shares > 0
        cost = error + own * palette_bits(book[used], shares[used])
        if error <= least and cost < best_cost:
            best, best_cost = book, cost
    return best


def cluster_in_palette(matrix: Matrix, price: float) -> Priced:
    """Cluster integer codes at a price in squared real units per bit of palette indices."""
    return cluster_on(matrix, palette_codebook(matrix, price))
