"""k-means on the weights alone, as scikit-learn has it: what a first script would do.

Every weight tensor, or every output channel, gets values of its own. Models of integers get the nearest codes.
"""

from __future__ import annotations

import numpy as np

from ..method import Job, Method, Tool, version_of
from ..weights import Reals, patch

_METHODS = tuple(
    Method(f"{values} values per {unit}", {"values": values, "per": unit})
    for unit in ("tensor", "channel")
    for values in (16, 32)
)


def clustered(weights: Reals, values: int, **options: float) -> Reals:
    """The weights (any shape), each moved to the nearest of so many centroids."""
    from sklearn.cluster import KMeans

    if len(np.unique(weights)) <= values:
        return weights
    fit = KMeans(values, n_init=1, random_state=0, **options).fit(weights.reshape(-1, 1))
    return fit.cluster_centers_[fit.labels_, 0].reshape(weights.shape)


def run(job: Job) -> None:
    """Cluster all weights, and patch them in place."""
    values = job.settings["values"]
    if job.settings["per"] == "tensor":
        patch(job.model, job.output, lambda _, rows: clustered(rows, values))
    else:
        patch(job.model, job.output, lambda _, rows: np.stack([clustered(row, values) for row in rows]))


TOOL = Tool("k-means (scikit-learn)", 2, lambda _: _METHODS, run, version_of("scikit-learn"))
