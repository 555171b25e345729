"""Weights as jobs, and what clusters them into the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..calibration.moments import DriftedMoments, Moments
from ..clustering.bias import rounded
from ..clustering.coupling import Coupling
from ..clustering.feedback import Feedback, corrected, shrunk
from ..clustering.grid import OnGrid, grid_at_price, grid_of_count
from ..clustering.histogram import Array
from ..clustering.rate import (
    LEAST_SQNR,
    Drift,
    Matrix,
    Priced,
    cluster_at_price,
    cluster_to_count,
    output_noise,
)
from ..model.layers import Bias, Layer, as_flat, as_rows, real_bias, row_scale
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.scales import ScaleVectors
from ..model.select import Groups, Weight
from ..model.storing.store import Stored
from ..model.verify import Span


@dataclass(frozen=True)
class Shrinkage:
    """How far moments are to be believed: independent observations that a sample counts as, the share of the mean
    diagonal added to Hessians, and whether biases may make up for mean errors.
    """

    observations_per_sample: int
    floor: float
    shifts_biases: bool

    def observations(self, moments: Moments, samples: int) -> int:
        """Independent observations that moments count as, which come from so many samples."""
        return min(moments.count, samples * self.observations_per_sample)


REAL: Final = Shrinkage(observations_per_sample=16, floor=0.01, shifts_biases=True)
SYNTHETIC: Final = Shrinkage(observations_per_sample=4, floor=0.1, shifts_biases=False)
"""Made-up inputs have means of their own, so that a bias fitted to them can ruin a model."""


_FLOAT_BITS: Final = 1.9
"""Bits that deflate spends on a float32 word beyond the entropy of the words."""

_LEAST_SQNR_OF_TABLES: Final = 20.0
"""dB that tables of elementwise operators keep: there is no sum in which their errors would be averaged."""

_SCALE_BITS: Final = 32
"""Bits of a scale, if it is not that of other channels too."""


@dataclass(frozen=True)
class Job:
    """A weight with all that clustering it takes.

    layer: the only one it is used in. channels: for a weight that is to be stored as codes on a grid, how many equal
    runs of rows may have a scale. clusters: most distinct values, if that is fixed. vectors: where its scales stand, if
    they can be rewritten.
    """

    weight: Weight
    layer: Layer | None
    rows: Groups
    matrix: Matrix
    channels: int | None = None
    clusters: int | None = None
    vectors: ScaleVectors | None = None


def make_job(
    model: Model,
    weight: Weight,
    layers: Sequence[Layer],
    moments: Moments | None,
    samples: int,
    shrinkage: Shrinkage,
    *,
    gradients: Moments | None = None,
    gradient_samples: int = 0,
    stored: bool = False,
    clusters: int | None = None,
    vectors: ScaleVectors | None = None,
) -> Job:
    """A weight's job, with feedback if there are moments, also between its rows if there are those of its gradients.

    layers: all that it is used in. samples, gradient_samples: how many those come from. stored: whether as codes.
    clusters: most distinct values, if that is fixed. vectors: where its scales stand, if they can be rewritten.
    """
    layer = layers[0] if len(layers) == 1 else None
    rows = layers[0].rows if layers else weight.channels
    raw = model.data[weight.span.start : weight.span.stop]
    codes = as_rows(weight.storage.decode(raw, weight.count), rows)
    scale = row_scale(weight, rows)
    feedback, mean, input_power = None, None, None
    if scale is None:  # scales change within a row: then errors cannot be passed on along it
        scale = np.array([float(np.sqrt(np.mean(weight.scale**2)))])
    elif moments is not None:
        shifts = shrinkage.shifts_biases and layer is not None and layer.bias is not None
        hessian = moments.covariance if shifts else moments.hessian
        coupling = None
        if gradients is not None:
            observations = shrinkage.observations(gradients, gradient_samples)
            coupling = Coupling.of(shrunk(gradients.hessian, observations, shrinkage.floor)[0])
        feedback = Feedback.of(shrunk(hessian, shrinkage.observations(moments, samples), shrinkage.floor), coupling)
        mean = moments.mean if shifts else None
        input_power = np.einsum("pii->p", hessian) / hessian.shape[-1]
    storage = weight.storage
    matrix = Matrix(
        codes, storage.is_float, scale, weight.zero, storage.representable, feedback, mean, input_power,
        well_packed=storage.well_packed if storage.is_float else None,
        least_sqnr=_LEAST_SQNR_OF_TABLES if weight.is_table else LEAST_SQNR,
    )  # fmt: skip
    return Job(weight, layer, rows, matrix, _scales(weight, rows) if stored else None, clusters, vectors)


def _scales(weight: Weight, rows: Groups) -> int:
    """How many scales a weight can have, one for each output channel where those are runs of its rows."""
    channels = weight.channels
    runs = rows.outer == channels.outer == 1 and channels.inner % rows.inner == 0
    return channels.groups if rows == channels or runs else 1


def followed(job: Job, moments: DriftedMoments, samples: int, shrinkage: Shrinkage) -> Job:
    """The job in a model whose earlier layers are clustered: it makes up for what they changed as well."""
    matrix = job.matrix
    assert matrix.feedback is not None
    shifts = matrix.mean is not None
    observations = shrinkage.observations(moments, samples)
    hessian = shrunk(moments.covariance if shifts else moments.hessian, observations, shrinkage.floor)
    cross = moments.cross_covariance if shifts else moments.cross_moment
    cross *= observations / (observations + cross.shape[-1])
    target = corrected(matrix.codes.astype(np.float64) - matrix.zero, hessian, cross)
    drift = Drift(target, moments.mean_drift)
    feedback = Feedback.of(hessian, matrix.feedback.coupling)
    mean = moments.mean if shifts else None
    return replace(job, matrix=replace(matrix, feedback=feedback, mean=mean, drift=drift))


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
            ahead = [pool.submit(_at_price, *pair) for pair in islice(pairs, 1)]
            for job in jobs:
                found = ahead.pop().result()
                ahead += [pool.submit(_at_price, *pair) for pair in islice(pairs, 1)]
                yield self._write(job, found)
                self.restore(job)

    def apply_all(self, jobs: Iterable[Job], prices: Iterable[float]) -> list[Priced]:
        """Cluster several tensors at once."""
        pairs = list(zip(jobs, prices, strict=True))
        return self._apply([job for job, _ in pairs], [partial(_at_price, price=price) for _, price in pairs])

    def apply_count(self, jobs: Sequence[Job]) -> list[Priced]:
        """Cluster all tensors to their fixed number of values."""
        return self._apply(jobs, [_to_count] * len(jobs))

    def restore(self, job: Job) -> None:
        """Put a tensor and its bias back to what they were."""
        self._copy.restore(job.weight.span)
        if job.vectors is not None:
            self._restore(job.vectors.spans)
        if job.layer is not None and job.layer.bias is not None:
            self._copy.restore(job.layer.bias.span)

    def follow(
        self, jobs: Iterable[Job], drifts: Iterable[DriftedMoments], samples: int, shrinkage: Shrinkage
    ) -> list[Job]:
        """Several jobs in a model whose earlier layers are clustered."""
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(lambda job, drift: followed(job, drift, samples, shrinkage), jobs, drifts))

    def _apply(self, jobs: Sequence[Job], ways: Sequence[Callable[[Job], Priced | OnGrid]]) -> list[Priced]:
        with ThreadPoolExecutor(self._threads) as pool:
            results = list(pool.map(lambda way, job: way(job), ways, jobs))
        return [self._write(job, found) for job, found in zip(jobs, results, strict=True)]

    def _write(self, job: Job, found: Priced | OnGrid) -> Priced:
        if not isinstance(found, OnGrid):
            self._write_codes(job, found.codes)
            self._write_bias(job, found, output_noise(job.matrix, found.error))
            return found
        noise = output_noise(job.matrix.real, found.error)
        if job.vectors is None:
            self._write_codes(job, found.values, _stored(job, found))
            self._write_bias(job, found.priced, noise)
            return found.priced
        self._write_codes(job, found.codes)
        scale = np.broadcast_to(found.scale, len(job.matrix.codes))
        if np.array_equal(scale, job.matrix.scale):
            self._restore(job.vectors.spans)
            self._write_bias(job, found.priced, noise)
            return found.priced
        for span, content in job.vectors.contents(scale):
            self._copy.write(span, content)
        self._write_bias(job, found.priced, noise, job.vectors.bias_scale(scale))
        return found.priced

    def _restore(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self._copy.restore(span)

    def _write_codes(self, job: Job, codes: npt.NDArray[Any], stored: Stored | None = None) -> None:
        span = job.weight.span
        content = job.weight.storage.encode(as_flat(codes, job.rows), self._model.data[span.start : span.stop])
        self._copy.write(span, content, stored)

    def _write_bias(
        self, job: Job, priced: Priced, noise: Array | None, scale: npt.NDArray[np.float32] | None = None
    ) -> None:
        """scale: the real size of the codes of the bias, where that is another one now."""
        bias = None if job.layer is None else job.layer.bias
        if bias is None:
            return
        if noise is None and scale is None:
            self._copy.restore(bias.span)  # it may hold codes of other scales
            return
        exact = np.zeros(len(job.matrix.codes))
        content = new_bias(self._model, bias, priced.mean_change, exact if noise is None else noise, scale)
        self._copy.write(bias.span, content)


def _at_price(job: Job, price: float) -> Priced | OnGrid:
    """On a grid if it is to be stored as codes, unless its channels are too far apart for those to be worth it."""
    if job.clusters is not None:
        return _to_count(job)
    if job.vectors is not None:
        return grid_at_price(job.matrix.real, price, len(job.matrix.codes), finest=job.matrix.scale)
    if job.channels is None:
        return cluster_at_price(job.matrix, price)
    grid = grid_at_price(job.matrix, price, job.channels)
    if len(grid.scale) == 1:
        return grid
    free = cluster_at_price(job.matrix, price)
    count, scales = job.matrix.codes.size, len(np.unique(grid.scale))
    words, codes = count * (free.entropy + _FLOAT_BITS), count * grid.entropy + scales * _SCALE_BITS
    return free if free.error + price * words < grid.error + price * codes else grid


def _to_count(job: Job) -> Priced | OnGrid:
    assert job.clusters is not None
    if job.channels is None:
        return cluster_to_count(job.matrix, job.clusters)
    return grid_of_count(job.matrix, job.clusters)


def _stored(job: Job, found: OnGrid) -> Stored:
    shape = job.weight.tensor.shape
    axis = None if len(found.scale) == 1 else job.weight.users[0].axis % len(shape)
    return Stored.of(job.weight, as_flat(found.codes, job.rows).reshape(shape), found.scale, axis)


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
        return model.data[bias.span.start : bias.span.stop]
    if mean_change is not None:
        values = values - mean_change
    scale = bias.scale if bias.is_float or new_scale is None else new_scale.astype(np.float64)
    codes = rounded(values, noise, scale) / scale
    limits = np.finfo(bias.dtype) if bias.is_float else np.iinfo(bias.dtype)
    codes = np.clip(codes if bias.is_float else np.rint(codes), limits.min, limits.max)
    return codes.astype(bias.dtype).data.cast("B")
