"""One tensor at a price per bit: the codebook that the price calls for, and the assignment with error feedback."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .codebook import Representable, float_codebook, nearest, optimal_codebook
from .entropy import EntropyCodebook, entropy_codebook, integer_entropy_codebook
from .feedback import Feedback
from .histogram import (
    Array,
    Histogram,
    Mask,
    Numbers,
    Reals,
    code_histogram,
    looked_up,
    number_type,
    row_blocks,
    shares,
    value_histogram,
)
from .prior import Prior, drawn_at_price, drawn_to_count

LEAST_SQNR: Final = 8.0
"""dB that every tensor keeps. Further out the damage is no longer in proportion to the error, and a tensor that looked
free collapses onto a single value."""

_CHEAPER: Final = 0.7
_MOST_EXACT_BINS: Final = 1024

_AS_CLOSE: Final = 1.5
"""A codebook of earlier values may have this many times the squared error of the best codebook with as many values."""

_AS_GOOD: Final = 1.05
"""Squared error, relative to that of the best codebook, up to which values that zip better take its place."""


@dataclass(frozen=True)
class Drift:
    """How the inputs of a layer differ from the original's once earlier layers are clustered."""

    target: Array
    """What to assign in place of the codes, relative to zero, (rows, columns)."""
    mean: Array
    """How much higher the mean of the input of each column was in the original, (parts, n)."""


@dataclass(frozen=True)
class Matrix:
    """A weight as error feedback sees it.

    codes: (rows, columns), float32 for floats, else integers. scale: real size of a code in each row, (rows,).
    zero: the code of the real value 0. feedback: None where the input was not observed. mean: E[x] of the input
    of each column, (parts, n) as the feedback's parts. input_power: E[x²], about the mean if that is given, (parts,).
    drift: where the inputs have changed since the original, what to do.
    prior: what an earlier version of the weight holds, to be kept where that costs little.
    well_packed: rounds to values close by that zip better. least_sqnr: dB that it keeps at any price.
    """

    codes: npt.NDArray[Any]
    is_float: bool
    scale: Array
    zero: int
    representable: Representable
    feedback: Feedback | None
    mean: Array | None
    input_power: Array | None
    drift: Drift | None = None
    well_packed: Representable | None = None
    least_sqnr: float = LEAST_SQNR
    prior: Prior | None = None

    @cached_property
    def histogram(self) -> Histogram:
        """Codes relative to zero; those of integers weigh as much as the squared scale of their row, 1 in the mean."""
        flat = self.codes.reshape(-1)
        if self.is_float:
            return value_histogram(np.sort(flat))
        share = self.scale**2 / self.square_scale
        weighted = code_histogram(flat, share, (1, len(share), flat.size // len(share)))
        return Histogram(weighted.values - self.zero, weighted.weights)

    @cached_property
    def counts(self) -> Array:
        """How many codes each bin of the histogram holds."""
        flat = self.codes.reshape(-1)
        return self.histogram.weights if self.is_float else code_histogram(flat, np.ones(1), (1, 1, flat.size)).weights

    @cached_property
    def square_scale(self) -> float:
        """Mean squared real size of a code."""
        return float(np.mean(self.scale**2))

    @cached_property
    def power(self) -> float:
        """Squared sum of the real weights."""
        return float(self.histogram.weights @ self.histogram.values**2) * self.square_scale

    @property
    def zeros(self) -> Mask | None:
        """Which weights are exactly 0, (rows, columns), as all of a pruned model's stay; None if no weight is."""
        zeros: Mask = self.codes == self.zero
        return zeros if zeros.any() else None

    @property
    def book_prior(self) -> Prior | None:
        """The prior, if it holds codes of the same kind, so that a codebook can share them."""
        return self.prior if self.prior is not None and self.prior.is_float == self.is_float else None

    @cached_property
    def real(self) -> Matrix:
        """The same with real values for codes, as floats that could be any."""
        if self.is_float:
            return self
        scale = self.scale[:, None].astype(np.float32)
        codes = (self.codes.astype(np.float32) - self.zero) * scale
        drift = None if self.drift is None else Drift(self.drift.target * self.scale[:, None], self.drift.mean)
        return replace(
            self, codes=codes, is_float=True, scale=np.ones(len(scale)), zero=0, representable=lambda values: values,
            drift=drift,
        )  # fmt: skip

    def relative(self, centroids: Array) -> Array:
        """Representable values relative to zero."""
        return self.representable(centroids + self.zero) - self.zero


@dataclass(frozen=True)
class Priced:
    """A tensor on its codebook: codes (rows, columns), bits per weight by entropy or as a chip charges, and the squared
    real error that the codebook makes without feedback. `mean_change` is how the mean of each output row changes,
    (rows,), if known. `gain` is what feedback saves, in dB of the output's error, as far as it counts; None without
    feedback.
    """

    codes: npt.NDArray[Any]
    entropy: float
    error: float
    mean_change: Array | None
    gain: float | None


def cluster_at_price(matrix: Matrix, price: float) -> Priced:
    """Cluster at a price in squared real units per bit; lower it where the tensor would lose too much."""
    least = matrix.power * 10 ** (-matrix.least_sqnr / 10)
    while True:
        book = _codebook(matrix, price / matrix.square_scale)
        if book.error * matrix.square_scale <= least or price <= least * 1e-12:
            break
        price *= _CHEAPER
    return _on_codebook(matrix, book.centroids, book.error * matrix.square_scale, price)


def cluster_to_count(matrix: Matrix, clusters: int) -> Priced:
    """Cluster to the best codebook of at most `clusters` values, with feedback."""
    return cluster_on(matrix, codebook_of_count(matrix, clusters))


def codebook_of_count(matrix: Matrix, clusters: int) -> Array:
    """The best centroids for their number, at most `clusters`, relative to zero, ascending."""
    histogram = matrix.histogram
    if matrix.is_float or len(histogram) > _MOST_EXACT_BINS:
        centroids = float_codebook(histogram, clusters, matrix.relative)
    else:
        centroids = optimal_codebook(histogram, clusters, histogram.index_of(0.0), matrix.relative)
    if matrix.book_prior is not None:
        drawn = drawn_to_count(histogram, clusters, matrix.relative, matrix.book_prior)
        least = rounding_error(histogram, centroids)
        centroids = drawn if rounding_error(histogram, drawn) <= _AS_CLOSE * least else centroids
    return centroids


def cluster_on(matrix: Matrix, centroids: Array) -> Priced:
    """Cluster to the nearest of given values relative to zero, ascending, with feedback."""
    error = rounding_error(matrix.histogram, centroids) * matrix.square_scale
    price = 2 * math.log(2) * error / matrix.codes.size  # what a fine codebook with this error pays for its last bit
    return _on_codebook(matrix, centroids, error, price)


def _codebook(matrix: Matrix, price: float) -> EntropyCodebook:
    is_exact = not matrix.is_float and len(matrix.histogram) <= _MOST_EXACT_BINS
    if matrix.book_prior is not None:
        counts = matrix.counts if is_exact else None
        return drawn_at_price(matrix.histogram, counts, price, matrix.relative, matrix.book_prior)
    if not is_exact:
        return entropy_codebook(matrix.histogram, price, matrix.relative)
    return integer_entropy_codebook(matrix.histogram, matrix.counts, price, matrix.relative)


def _packed(matrix: Matrix, centroids: Array) -> Array:
    """Values that zip better in place of the centroids, if they are as good.

    Close neighbours among the largest centroids may become one value. Few weights lie there, so that this costs little.
    """
    if matrix.well_packed is None:
        return centroids
    packed = matrix.well_packed(centroids)
    if matrix.book_prior is not None:
        packed = np.where(np.isin(centroids, matrix.book_prior.values), centroids, packed)
    packed = np.unique(packed)
    plain, other = (rounding_error(matrix.histogram, book) for book in (centroids, packed))
    return packed if other <= _AS_GOOD * plain else centroids


def rounding_error(histogram: Histogram, centroids: Array) -> float:
    """Squared error of rounding each value to the nearest centroid, in squared codes."""
    distance = histogram.values - centroids[nearest(histogram.values, centroids)]
    return float(histogram.weights @ distance**2)


def _on_codebook(matrix: Matrix, centroids: Array, error: float, price: float) -> Priced:
    """Assign with feedback if there is any; price: in squared real units per bit."""
    centroids = _packed(matrix, centroids)
    values = matrix.codes.astype(np.float32) - np.float32(matrix.zero)
    aim = values if matrix.drift is None else matrix.drift.target
    book = centroids.astype(np.float32)
    held = None if matrix.book_prior is None else matrix.book_prior.held(centroids, price, matrix.scale)
    if matrix.feedback is None:
        numbers, gain = _nearest(aim, centroids), None
        numbers = numbers if held is None else held.kept(aim, numbers, book)
    else:
        numbers = matrix.feedback.assign(aim, centroids, matrix.scale, matrix.zeros, held)
        rounded = looked_up(book, _nearest(values, centroids))
        gain = feedback_gain(matrix, rounded, looked_up(book, numbers))
    table = (centroids + matrix.zero).astype(matrix.codes.dtype)
    change = mean_change(matrix, values, looked_up(book, numbers))
    return Priced(looked_up(table, numbers), entropy_of(shares(numbers)), error, change, gain)


def _nearest(values: Reals, centroids: Array) -> Numbers:
    """Number of the nearest centroid of each value, (rows, columns)."""
    numbers = np.empty(values.shape, number_type(len(centroids)))
    for rows in row_blocks(values.shape):
        numbers[rows] = nearest(values[rows], centroids)
    return numbers


def entropy_of(shares: Array) -> float:
    """Bits per symbol, of symbols that have these shares."""
    return -float(np.sum(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))))


def feedback_gain(matrix: Matrix, rounded: Reals, assigned: Reals) -> float | None:
    """dB by which the error of the output is smaller than if all codes were rounded to the nearest; None if unknown.

    rounded, assigned: new codes relative to zero, (rows, columns). Where inputs have drifted, the error is that from
    what makes the most of them.
    """
    assert matrix.feedback is not None
    aim = matrix.codes - np.float32(matrix.zero) if matrix.drift is None else matrix.drift.target
    before, after = (matrix.feedback.output_error(aim, new, matrix.scale) for new in (rounded, assigned))
    return 10 * math.log10(before / after) if before > 0 and after > 0 else None


def mean_change(matrix: Matrix, before: Reals, after: Reals) -> Array | None:
    """How much new codes, relative to zero and (rows, columns), move the mean of each output row, (rows,), if known."""
    if matrix.mean is None:
        return None
    change = _weighted_sums(after, matrix.mean, before)
    if matrix.drift is not None:
        change -= _weighted_sums(before, matrix.drift.mean)
    return change * matrix.scale


def output_noise(matrix: Matrix, error: float) -> Array | None:
    """Variance in each output row that comes of the error of one weight, (rows,), if known.

    error: squared real error of all weights together.
    """
    if matrix.input_power is None:
        return None
    rows, columns = matrix.codes.shape
    parts = len(matrix.input_power)
    is_by_row = parts > 1 and matrix.feedback is not None and matrix.feedback.order.shape[1] == columns
    power = np.repeat(matrix.input_power, rows // parts) if is_by_row else matrix.input_power.mean()
    noise: Array = error / matrix.codes.size * matrix.scale**2 / matrix.square_scale * power
    return noise


def _weighted_sums(matrix: Reals, weights: Array, less: Reals | None = None) -> Array:
    """Sum of each row, its columns weighted by (parts, n) as the parts of feedback lie.

    less: what to subtract from the matrix first.
    """
    parts, n = weights.shape
    rows, columns = matrix.shape
    result = np.empty(rows)
    for some in row_blocks(matrix.shape):
        part = np.arange(rows)[some] // (rows // parts)
        by_row = weights[part] if n == columns else weights.reshape(1, columns)
        values = matrix[some] if less is None else matrix[some] - less[some]
        result[some] = np.sum(values * by_row, axis=1)
    return result
