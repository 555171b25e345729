"""Where TensorFlow Model Optimization's weight clustering begins, without the training that follows.

Its centroids, by the source of version 0.8.1 (clustering_centroids.py), of each convolution and dense layer; depthwise
convolutions are left alone there:

- linear: evenly spaced from the smallest weight to the largest.
- density-based: the weights' distribution function is taken at 30 points evenly spaced from 0.01 below the smallest
  weight to 0.01 above the largest; a centroid is the first of these points beyond each of the evenly spaced levels from
  0.01 to 1.
- k-means++: weights drawn one after the other, each with a chance in proportion to its squared distance from the
  nearest one drawn before. No k-means follows.

Each weight then takes the value of its nearest centroid.
"""

from __future__ import annotations

import numpy as np

from tflite_cluster.model.weight import Weight

from ..method import Job, Method, Tool
from ..weights import Reals, patch

_CLUSTERED = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_GRID, _GAP, _LOWEST = 30, 0.01, 0.01
_SEED = 9


def linear(weights: Reals, values: int) -> Reals:
    """Evenly spaced centroids."""
    return np.linspace(weights.min(), weights.max(), values)


def density_based(weights: Reals, values: int) -> Reals:
    """Centroids with as many weights between any two."""
    grid = np.linspace(weights.min() - _GAP, weights.max() + _GAP, _GRID)
    shares = np.searchsorted(np.sort(weights, axis=None), grid, side="right") / weights.size
    found = np.searchsorted(shares, np.linspace(_LOWEST, 1, values), side="right")
    return np.unique(grid[np.minimum(found, _GRID - 1)])


def k_means_plus_plus(weights: Reals, values: int) -> Reals:
    """Weights drawn far from each other."""
    generator = np.random.default_rng(_SEED)
    flat = weights.ravel()
    drawn = [generator.choice(flat)]
    distance = np.full(flat.shape, np.inf)
    while len(drawn) < values:
        distance = np.minimum(distance, (flat - drawn[-1]) ** 2)
        total = np.cumsum(distance)
        if total[-1] == 0:
            break
        drawn.append(flat[np.searchsorted(total, generator.random() * total[-1], side="right").clip(0, len(flat) - 1)])
    return np.sort(drawn)


_WAYS = {"linear": linear, "density-based": density_based, "k-means++": k_means_plus_plus}


def nearest(weights: Reals, centroids: Reals) -> Reals:
    """Each weight at its nearest centroid; these ascend."""
    return centroids[np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)]


def run(job: Job) -> None:
    """Cluster the layers that the tool would cluster, and patch them in place."""
    way, values = _WAYS[job.settings["centroids"]], job.settings["values"]

    def change(weight: Weight, rows: Reals) -> Reals | None:
        return nearest(rows, way(rows, values)) if weight.operators & _CLUSTERED else None

    patch(job.model, job.output, change)


_METHODS = tuple(
    Method(f"{way}, {values} values", {"centroids": way, "values": values}, float_only=True)
    for way in _WAYS
    for values in (32,)
)

TOOL = Tool("TFMOT's start", 3, lambda _: _METHODS, run, lambda: "as of tensorflow-model-optimization 0.8.1")
