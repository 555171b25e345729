"""One tensor's weights onto a codebook: the pure function that each job of a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .codebook import Representable, float_codebook, nearest, optimal_codebook
from .histogram import Array, Histogram, blocks, code_histogram, distinct, runs, value_histogram

Codes = npt.NDArray[Any]

_MOST_EXACT_BINS = 1024
"""Largest histogram of integer codes for which the dynamic programme over all bins is quick."""


@dataclass(frozen=True)
class Problem:
    """What clustering needs to know of a tensor besides its codes.

    Codes are flat. Seen as `scale_shape` (outer, groups, inner), group g has the real scale `scale[g]`; seen as
    `channel_shape` is of the same form; each group is an output channel. `zero` is the code of the real value 0.
    """

    is_float: bool
    scale: Array
    scale_shape: tuple[int, int, int]
    channel_shape: tuple[int, int, int]
    zero: int
    representable: Representable


@dataclass(frozen=True)
class Clustered:
    """Codes on their codebook, with the squared sums of real weights (signal) and of their changes (noise)."""

    codes: Codes
    values_before: int
    values_after: int
    signal: float
    noise: float

    @property
    def sqnr(self) -> float:
        """Signal-to-quantisation-noise ratio of the weights in dB; infinite if nothing changed."""
        if self.noise == 0:
            return np.inf
        return float(10 * np.log10(self.signal / self.noise)) if self.signal else -np.inf


def cluster_tensor(codes: Codes, problem: Problem, clusters: int, per_channel: bool) -> Clustered:
    """Put each code on the nearest of at most `clusters` values: one codebook, or one for each channel.

    codes: flat array, float32 for floats, integers otherwise; must be finite. The result's codes have its dtype.
    A tensor (or channel) with no more distinct values than `clusters` keeps them.
    """
    if per_channel:
        changed = codes.copy()
        view = changed.reshape(problem.channel_shape)
        for channel in range(problem.channel_shape[1]):  # each is its own problem, so that its scale does not matter
            part = view[:, channel].reshape(-1)
            centroids = _codebook(part, np.ones(1), (1, 1, part.size), problem, clusters)
            view[:, channel] = _assigned(part, centroids).reshape(view[:, channel].shape)
    else:
        centroids = _codebook(codes, problem.scale**2, problem.scale_shape, problem, clusters)
        changed = _assigned(codes, centroids)
    return compare(codes, changed, problem)


def compare(codes: Codes, changed: Codes, problem: Problem, scale: Array | None = None) -> Clustered:
    """Measure how the changed codes differ from the codes; both are flat and of the same length.

    scale: the real size of a unit of the changed codes, for each group, if it differs from the problem's.
    """
    signal, noise = _energies(codes, changed, problem, None if scale is None else scale / problem.scale)
    return Clustered(changed, distinct(codes), distinct(changed), signal, noise)


def _codebook(codes: Codes, weights: Array, shape: tuple[int, int, int], problem: Problem, clusters: int) -> Array:
    """Centroids for these codes; all their values if there are no more than `clusters`."""
    if problem.is_float:
        histogram = value_histogram(np.sort(codes))
        return float_codebook(histogram, clusters, problem.representable)
    histogram = code_histogram(codes, weights, shape)
    if len(histogram) <= _MOST_EXACT_BINS:
        return optimal_codebook(histogram, clusters, histogram.index_of(problem.zero), problem.representable)
    shifted = Histogram(histogram.values - problem.zero, histogram.weights)
    return problem.representable(float_codebook(shifted, clusters) + problem.zero)


def _assigned(codes: Codes, centroids: Array) -> Codes:
    """Each code replaced by its nearest centroid."""
    table = centroids.astype(codes.dtype)
    changed = np.empty_like(codes)
    if codes.dtype.kind != "f" and codes.size > 1 << 8 * codes.itemsize:  # the nearest is sought once for each code
        unsigned = np.dtype(f"u{codes.itemsize}")
        every = np.arange(1 << 8 * codes.itemsize).astype(unsigned).view(codes.dtype)
        to_nearest = table[nearest(every, centroids)]
        for block, target in zip(blocks(codes.view(unsigned)), blocks(changed), strict=True):
            target[:] = to_nearest[block]
        return changed
    for block, target in zip(blocks(codes), blocks(changed), strict=True):
        target[:] = table[nearest(block, centroids)]
    return changed


def _energies(codes: Codes, changed: Codes, problem: Problem, ratio: Array | None) -> tuple[float, float]:
    """Squared sums of the real weights and of their changes; ratio: of new scales to old ones."""
    squares = problem.scale**2
    signal = noise = 0.0
    start = 0
    for before, after in zip(blocks(codes), blocks(changed), strict=True):
        value, change = before.astype(np.float64), after.astype(np.float64)
        edges, groups = runs(problem.scale_shape, start, start + len(before))
        if ratio is not None:
            change -= problem.zero
            change *= np.repeat(ratio[groups], np.diff(edges, append=len(before)))
            change += problem.zero
        change -= value
        value -= problem.zero
        signal += float(np.add.reduceat(np.square(value, out=value), edges) @ squares[groups])
        noise += float(np.add.reduceat(np.square(change, out=change), edges) @ squares[groups])
        start += len(before)
    return signal, noise
