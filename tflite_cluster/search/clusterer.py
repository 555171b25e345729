"""What clusters weights into the copy, several at a time, and fits the biases of their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..calibration.moments import DriftedMoments
from ..clustering.bias import rounded
from ..clustering.histogram import Array
from ..clustering.rate import Priced
from ..model.layer import Bias
from ..model.layers import real_bias
from ..model.patch import PatchedCopy
from ..model.read import Model
from .encodings import Assigned, BiasChange
from .job import Job, followed
from .statistics import Shrinkage


class Clusterer:
    """Clusters jobs into the copy."""

    def __init__(self, model: Model, copy: PatchedCopy, threads: int) -> None:
        self._model = model
        self._copy = copy
        self._threads = threads

    def apply_each(self, jobs: Sequence[Job], prices: Sequence[float]) -> Iterator[Priced]:
        """Cluster one tensor at a time, alone in the copy while the caller looks at it; the next is found meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            pairs = iter(zip(jobs, prices, strict=True))
            ahead = [pool.submit(Job.assign, *pair) for pair in islice(pairs, 1)]
            for job in jobs:
                found = ahead.pop().result()
                ahead += [pool.submit(Job.assign, *pair) for pair in islice(pairs, 1)]
                yield self._write(job, found)
                self.restore(job)

    def apply_all(self, jobs: Iterable[Job], prices: Iterable[float]) -> list[Priced]:
        """Cluster several tensors at once."""
        pairs = list(zip(jobs, prices, strict=True))
        return self._apply([job for job, _ in pairs], [partial(Job.assign, price=price) for _, price in pairs])

    def apply_count(self, jobs: Iterable[Job]) -> list[Priced]:
        """Cluster tensors to their fixed number of values, except those that have no more already."""
        busy = [job for job in jobs if job.needs_clustering]
        return self._apply(busy, [Job.assign_count] * len(busy))

    def restore(self, job: Job) -> None:
        """Put a tensor, its scales and its bias back to what they were."""
        for span in (job.weight.span, *job.encoding.spans):
            self._copy.restore(span)
        if job.layer is not None and job.layer.bias is not None:
            self._copy.restore(job.layer.bias.span)

    def follow(
        self, jobs: Iterable[Job], drifts: Iterable[DriftedMoments], samples: int, shrinkage: Shrinkage
    ) -> list[Job]:
        """Several jobs in a model whose earlier layers are clustered."""
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(lambda job, drift: followed(job, drift, samples, shrinkage), jobs, drifts))

    def _apply(self, jobs: Sequence[Job], ways: Sequence[Callable[[Job], Assigned]]) -> list[Priced]:
        with ThreadPoolExecutor(self._threads) as pool:
            results = list(pool.map(lambda way, job: way(job), ways, jobs))
        return [self._write(job, found) for job, found in zip(jobs, results, strict=True)]

    def _write(self, job: Job, found: Assigned) -> Priced:
        change, priced = found.write(self._copy), found.priced
        if job.layer is not None and job.layer.bias is not None:
            self._write_bias(job.layer.bias, len(job.matrix.codes), priced, change)
        return priced

    def _write_bias(self, bias: Bias, rows: int, priced: Priced, change: BiasChange) -> None:
        if change.noise is None and change.scale is None:
            self._copy.restore(bias.span)  # it may hold codes of other scales
            return
        noise = np.zeros(rows) if change.noise is None else change.noise  # a bias in new units is as exact as it can be
        self._copy.write(bias.span, new_bias(self._model, bias, priced.mean_change, noise, change.scale))


def new_bias(
    model: Model,
    bias: Bias,
    mean_change: Array | None,
    noise: Array,
    new_scale: npt.NDArray[np.float32] | None = None,
) -> memoryview:
    """The bias's bytes once it makes up for how the mean of each output row changes, if that is known, (rows,).

    noise: how exact it has to be, as for `rounded`, (rows,). new_scale: the real size of its codes, if that changes.
    """
    values = real_bias(model, bias)
    if not np.isfinite(values).all():
        return model.bytes_of(bias.span)
    if mean_change is not None:
        values = values - mean_change
    scale = bias.scale if bias.is_float or new_scale is None else new_scale.astype(np.float64)
    codes = rounded(values, noise, scale) / scale
    limits = np.finfo(bias.dtype) if bias.is_float else np.iinfo(bias.dtype)
    codes = np.clip(codes if bias.is_float else np.rint(codes), limits.min, limits.max)
    return codes.astype(bias.dtype).data.cast("B")
