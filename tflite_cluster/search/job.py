"""One weight with all that clustering it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..calibration.moments import DriftedMoments, Moments
from ..clustering.feedback import Feedback, corrected, shrunk
from ..clustering.rate import LEAST_SQNR, Drift, Matrix
from ..model.groups import Groups
from ..model.layer import Layer
from ..model.layers import as_rows, row_scale
from ..model.read import Model
from ..model.weight import Weight
from .base import Base
from .encodings import Assigned, Encode, Encoding
from .statistics import NOTHING_OBSERVED, Shrinkage, Statistics

_LEAST_SQNR_OF_TABLES: Final = 20.0
"""dB that tables of elementwise operators keep: there is no sum in which their errors would be averaged."""


@dataclass(frozen=True)
class Job:
    """A weight to cluster."""

    weight: Weight
    layer: Layer | None
    """The only layer that uses it; None if there are several or none."""
    matrix: Matrix
    encoding: Encoding
    clusters: int | None = None
    """Most distinct values, if that is fixed."""

    @property
    def needs_clustering(self) -> bool:
        """Whether it holds more values than are asked for, or is written in another form."""
        return self.encoding.always_writes or len(self.matrix.histogram) > (self.clusters or 0)

    def assign(self, price: float) -> Assigned:
        """Cluster it at a price in squared real units per bit, or to the number of values that is fixed."""
        return self.encoding.assign(self.matrix, price) if self.clusters is None else self.assign_count()

    def assign_count(self) -> Assigned:
        """Cluster it to the number of values that is fixed."""
        assert self.clusters is not None
        return self.encoding.assign_count(self.matrix, self.clusters)


def make_job(
    model: Model,
    weight: Weight,
    encode: Encode,
    layers: Sequence[Layer] = (),
    statistics: Statistics = NOTHING_OBSERVED,
    clusters: int | None = None,
    base: Base | None = None,
) -> Job:
    """A weight's job. layers: all that use it. clusters: most distinct values, if that is fixed.
    base: the last release, which it is kept close to.
    """
    layer = layers[0] if len(layers) == 1 else None
    rows = layers[0].rows if layers else weight.channels
    matrix = _matrix(model, weight, rows, statistics, has_bias=layer is not None and layer.bias is not None)
    if base is not None:
        matrix = replace(matrix, prior=base.prior(weight, rows))
    return Job(weight, layer, matrix, encode(weight, rows), clusters)


def _matrix(model: Model, weight: Weight, rows: Groups, statistics: Statistics, *, has_bias: bool) -> Matrix:
    """The weight as error feedback sees it, with feedback where its layer was observed."""
    storage = weight.storage
    codes = as_rows(weight.codes(model), rows)
    scale = row_scale(weight, rows)
    moments, shrinkage = statistics.moments, statistics.shrinkage
    feedback, mean, input_power = None, None, None
    if scale is None:  # scales change within a row: then errors cannot be passed on along it
        scale = np.array([float(np.sqrt(np.mean(weight.scale**2)))])
    elif moments is not None:
        shifts = shrinkage.shifts_biases and has_bias
        hessian = moments.covariance if shifts else moments.hessian
        observations = shrinkage.observations(moments, statistics.samples)
        feedback = Feedback.of(shrunk(hessian, observations, shrinkage.floor))
        mean = moments.mean if shifts else None
        input_power = np.einsum("pii->p", hessian) / hessian.shape[-1]
    return Matrix(
        codes, storage.is_float, scale, weight.zero, storage.representable, feedback, mean, input_power,
        well_packed=storage.well_packed if storage.is_float else None,
        least_sqnr=_LEAST_SQNR_OF_TABLES if weight.is_table else LEAST_SQNR,
    )  # fmt: skip


def coupled(job: Job, gradients: Moments | None, samples: int, shrinkage: Shrinkage) -> Job:
    """The job with feedback between rows too, if it has feedback.

    gradients: moments at the output of its layer, from so many samples; None if they are not known.
    """
    feedback = job.matrix.feedback
    if feedback is None or gradients is None:
        return job
    feedback = replace(feedback, coupling=shrinkage.coupling(gradients, samples))
    return replace(job, matrix=replace(job.matrix, feedback=feedback))


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
