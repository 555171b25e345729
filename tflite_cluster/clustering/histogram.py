"""Distinct values and what each of them weighs: what a codebook is found on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.integer[Any]]
"""Numbers of centroids, in the smallest type that holds them all: a large weight takes an eighth of the memory."""
Mask = npt.NDArray[np.bool_]

_BINS: Final = 8192
"""Bins of equal population and, again as many, of equal width, in which a large tensor is summed up."""

_TAIL_BINS: Final = 1024
"""Bins whose population grows with the distance from either end, which an outlier cannot stretch as it does widths."""

_BLOCK: Final = 1 << 17

_ROW_BLOCK: Final = 1 << 22
"""Elements of a matrix that are worked on at a time where copies of all would take too much memory."""


@dataclass(frozen=True)
class Histogram:
    """Values in ascending order with positive weights; both of shape (bins,)."""

    values: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.values)

    def index_of(self, value: float) -> int | None:
        """Where exactly this value stands, or None."""
        index = int(np.searchsorted(self.values, value))
        return index if index < len(self) and self.values[index] == value else None

    def merged(self, edges: npt.NDArray[np.intp]) -> Histogram:
        """Bins put together from each edge (ascending bin indices, the first 0) up to the next, at their mean."""
        weights = np.add.reduceat(self.weights, edges)
        return Histogram(np.add.reduceat(self.weights * self.values, edges) / weights, weights)


def code_histogram(codes: npt.NDArray[Any], group_weights: Array, shape: tuple[int, int, int]) -> Histogram:
    """How much each integer code weighs.

    `codes` is flat; seen as `shape` (outer, groups, inner), each element weighs group_weights[its group].
    """
    low = int(codes.min())
    bins = int(codes.max()) - low + 1
    counts, weights = np.zeros(bins), np.zeros(bins)
    start = 0
    for block in blocks(codes):
        shifted = block.astype(np.intp) - low
        found = np.bincount(shifted, minlength=bins)
        counts += found
        if len(group_weights) == 1:
            weights += found * group_weights[0]
        else:
            edges, groups = runs(shape, start, start + len(block))
            lengths = np.diff(edges, append=len(block))
            weights += np.bincount(shifted, np.repeat(group_weights[groups], lengths), minlength=bins)
        start += len(block)
    present = np.flatnonzero(counts)
    positive = np.maximum(weights[present], np.finfo(np.float64).tiny)
    return Histogram(present.astype(np.float64) + low, positive)


def blocks(flat: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Views of a flat array, small enough that work on them needs little memory."""
    return (flat[start : start + _BLOCK] for start in range(0, len(flat), _BLOCK))


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Runs of the rows of a matrix (rows, columns), so small that copies in wider types take little memory."""
    rows, columns = shape
    height = max(1, _ROW_BLOCK // max(columns, 1))
    return (slice(start, start + height) for start in range(0, rows, height))


def number_type(count: int) -> np.dtype[Any]:
    """The smallest type that numbers so many centroids."""
    return np.min_scalar_type(max(count - 1, 0))


def looked_up(table: npt.NDArray[Any], numbers: Numbers) -> npt.NDArray[Any]:
    """The entry of a table for each of the numbers (rows, columns)."""
    found = np.empty(numbers.shape, table.dtype)
    for rows in row_blocks(numbers.shape):
        found[rows] = table[numbers[rows]]
    return found


def shares(numbers: Numbers) -> Array:
    """The share of each number from 0 to the largest."""
    counts = [np.bincount(block) for block in blocks(numbers.reshape(-1))]
    found = np.zeros(max(map(len, counts)))
    for each in counts:
        found[: len(each)] += each
    return found / numbers.size


def runs(shape: tuple[int, int, int], start: int, stop: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where in the flat elements [start, stop) each run of one group begins, counted from `start`, and its group.

    shape: (outer, groups, inner), as which all elements are seen.
    """
    _, groups, inner = shape
    numbers = np.arange(start // inner, (stop - 1) // inner + 1)
    return np.maximum(numbers * inner - start, 0), numbers % groups


def distinct(codes: npt.NDArray[Any]) -> int:
    """How many distinct values a flat array holds."""
    if codes.dtype.kind == "f" or codes.itemsize > 2:
        return count_distinct(np.sort(codes))
    unsigned = codes.view(f"u{codes.itemsize}")
    seen = np.zeros(1 << 8 * codes.itemsize, np.bool_)
    for block in blocks(unsigned):
        seen |= np.bincount(block, minlength=len(seen)) > 0
    return int(np.count_nonzero(seen))


def count_distinct(ordered: npt.NDArray[Any]) -> int:
    """How many distinct values an ascending array holds."""
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0


def value_histogram(ordered: npt.NDArray[np.float32]) -> Histogram:
    """An ascending float array summed up in some 18,000 bins; up to 16,384 distinct values are kept exactly.

    Bins of equal population follow the bulk, bins of equal width what is thinly spread, and small bins at both ends
    the tails. Zero keeps a bin of its own.
    """
    if count_distinct(ordered) <= 2 * _BINS:
        edges = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    else:
        populations = np.linspace(0, len(ordered), _BINS, endpoint=False).astype(np.intp)
        low, high = float(ordered[0]), float(ordered[-1])  # the difference may be too large for float32
        widths = np.searchsorted(ordered, np.linspace(low, high, _BINS, endpoint=False, dtype=ordered.dtype))
        ranks = np.geomspace(1, len(ordered) / 2, _TAIL_BINS).astype(np.intp)
        zero = np.searchsorted(ordered, np.float32(0), "left"), np.searchsorted(ordered, np.float32(0), "right")
        edges = np.unique(np.concatenate((populations, widths, ranks, len(ordered) - ranks, zero)))
        edges = edges[edges < len(ordered)]
    weights = np.diff(np.append(edges, len(ordered))).astype(np.float64)
    return Histogram(np.add.reduceat(ordered, edges, dtype=np.float64) / weights, weights)
