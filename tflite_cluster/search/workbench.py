"""A model on the bench: tensors clustered at given prices into a copy, and the copy run against the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..calibration.gather import batches, probe_of
from ..calibration.moments import Moments, Probe, observe
from ..calibration.samples import Samples
from ..clustering.feedback import Feedback, shrunk
from ..clustering.rate import Matrix, Priced, cluster_at_price, cluster_to_count
from ..interpreter.process import InterpreterProcess
from ..model.layers import Bias, Layer
from ..model.patch import PatchedCopy
from ..model.read import Model, Subgraph
from ..model.select import Groups, Weight
from .quality import Array, Quality, compare_outputs

_PLACES_THAT_COUNT = 16
"""Of the places seen in one sample, how many count as independent observations."""


@dataclass(frozen=True)
class Job:
    """A weight with all that clustering it takes."""

    weight: Weight
    layer: Layer | None
    rows: Groups
    matrix: Matrix


def make_jobs(
    model: Model, weights: Sequence[Weight], layers: Mapping[int, Layer], moments: Mapping[int, Moments], samples: int
) -> list[Job]:
    """A job for each weight; those with moments get feedback. samples: how many the moments come from."""
    return [
        _job(model, weight, layers.get(number), moments.get(number), samples) for number, weight in enumerate(weights)
    ]


def _job(model: Model, weight: Weight, layer: Layer | None, moments: Moments | None, samples: int) -> Job:
    rows = layer.rows if layer is not None else weight.channels
    raw = model.data[weight.span.start : weight.span.stop]
    codes = weight.storage.decode(raw, weight.count)
    feedback, mean = None, None
    if moments is not None and layer is not None:
        hessian = moments.covariance if layer.bias is not None else moments.hessian
        feedback = Feedback.of(shrunk(hessian, min(moments.count, samples * _PLACES_THAT_COUNT)))
        mean = moments.mean if layer.bias is not None else None
    scale = _row_scale(weight, rows)
    if scale is None:  # scales change within a row: then errors cannot be passed on along it
        scale, feedback, mean = np.array([float(np.sqrt(np.mean(weight.scale**2)))]), None, None
    matrix = Matrix(
        codes=as_rows(codes, rows),
        is_float=weight.storage.is_float,
        scale=scale,
        zero=weight.zero,
        representable=weight.storage.representable,
        feedback=feedback,
        mean=mean,
    )
    return Job(weight, layer, rows, matrix)


def as_rows(flat: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """Flat elements as a matrix, one row for each group."""
    return np.asarray(flat.reshape(rows.shape).transpose(1, 0, 2).reshape(rows.groups, -1))


def as_flat(matrix: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """The inverse of as_rows."""
    by_row = matrix.reshape(rows.groups, rows.outer, rows.inner)
    return np.ascontiguousarray(by_row.transpose(1, 0, 2)).reshape(-1)


def _row_scale(weight: Weight, rows: Groups) -> Array | None:
    """Scale of each row; None if a row has several."""
    groups = weight.scale_groups
    if len(weight.scale) == 1:
        return np.full(rows.groups, weight.scale[0])
    if groups == rows:
        return weight.scale
    if groups.outer == rows.outer == 1 and groups.inner % rows.inner == 0:
        return np.repeat(weight.scale, groups.inner // rows.inner)
    return None


class Workbench:
    """Clusters jobs into the copy and measures what comes out."""

    def __init__(
        self,
        process: InterpreterProcess,
        model: Model,
        original: Path,
        copy: PatchedCopy,
        samples: Mapping[str | None, Samples],
        chosen: Mapping[str | None, npt.NDArray[np.intp]],
        threads: int,
    ) -> None:
        """chosen: the samples, by signature, that `measure` may be asked for."""
        self._process = process
        self._model = model
        self._copy = copy
        self._samples = samples
        self._threads = threads
        self._probes = {key: _output_probes(model, key) for key in samples}
        self._reference = {key: self._observe(original, key, indices) for key, indices in chosen.items()}
        self._position = {key: {int(i): row for row, i in enumerate(indices)} for key, indices in chosen.items()}

    def apply(self, job: Job, price: float) -> Priced:
        """Cluster one tensor at a price, and write it and its bias."""
        return self._write(job, cluster_at_price(job.matrix, price))

    def apply_all(self, jobs: Iterable[Job], prices: Iterable[float]) -> list[Priced]:
        """Cluster several tensors at once."""
        pairs = list(zip(jobs, prices, strict=True))
        with ThreadPoolExecutor(self._threads) as pool:
            results = list(pool.map(lambda pair: cluster_at_price(pair[0].matrix, pair[1]), pairs))
        return [self._write(job, priced) for (job, _), priced in zip(pairs, results, strict=True)]

    def apply_counts(self, jobs: Sequence[Job], clusters: int) -> list[Priced]:
        """Cluster all tensors to a number of values."""
        with ThreadPoolExecutor(self._threads) as pool:
            results = list(pool.map(lambda job: cluster_to_count(job.matrix, clusters), jobs))
        return [self._write(job, priced) for job, priced in zip(jobs, results, strict=True)]

    def restore(self, job: Job) -> None:
        """Put a tensor and its bias back to what they were."""
        self._copy.restore(job.weight.span)
        if job.layer is not None and job.layer.bias is not None:
            self._copy.restore(job.layer.bias.span)

    def measure(self, chosen: Mapping[str | None, npt.NDArray[np.intp]]) -> Quality:
        """Run the copy on the chosen samples and compare it with the original."""
        self._copy.flush()
        before: list[Array] = []
        after: list[Array] = []
        logits: list[bool] = []
        for key, indices in chosen.items():
            rows = [self._position[key][int(index)] for index in indices]
            before += [values[rows] for values in self._reference[key]]
            after += self._observe(self._copy.path, key, indices)
            logits += [is_logits for _, is_logits in self._probes[key]]
        return compare_outputs(before, after, logits)

    def _write(self, job: Job, priced: Priced) -> Priced:
        span = job.weight.span
        flat = as_flat(priced.codes, job.rows)
        self._copy.write(span, job.weight.storage.encode(flat, self._model.data[span.start : span.stop]))
        if job.layer is not None and job.layer.bias is not None and priced.mean_change is not None:
            bias = job.layer.bias
            self._copy.write(bias.span, shifted_bias(self._model, bias, -priced.mean_change))
        return priced

    def _observe(self, path: Path, key: str | None, indices: npt.NDArray[np.intp]) -> list[Array]:
        probes = [probe for probe, _ in self._probes[key]]
        found: list[list[npt.NDArray[np.float32]]] = []
        for batch in batches(self._samples[key], indices):
            found.extend(self._process.call(observe, path, key, batch, probes, self._threads))
        return [np.stack([sample[i] for sample in found]).astype(np.float64) for i in range(len(probes))]


def shifted_bias(model: Model, bias: Bias, shift: Array) -> memoryview:
    """The bias's bytes with a real `shift` (rows,) added, rounded to its codes."""
    raw = model.data[bias.span.start : bias.span.stop]
    if bias.tensor.type == "FLOAT32":
        return (np.frombuffer(raw, "<f4") + shift).astype("<f4").data.cast("B")
    kind = {"INT32": "<i4", "INT64": "<i8"}[bias.tensor.type]
    assert bias.tensor.quantization is not None
    codes = np.frombuffer(raw, kind).astype(np.float64) + np.round(shift / bias.tensor.quantization.scale)
    limits = np.iinfo(kind)
    return np.clip(codes, limits.min, limits.max).astype(kind).data.cast("B")


_PLAIN = frozenset({"RESHAPE", "DEQUANTIZE", "QUANTIZE", "SQUEEZE"})


def _output_probes(model: Model, key: str | None) -> list[tuple[Probe, bool]]:
    """The outputs of a signature to compare; before the softmax where there is one, for which True."""
    subgraph = model.subgraphs[model.signatures[key].subgraph if key in model.signatures else 0]
    return [_before_softmax(subgraph, output) for output in subgraph.outputs]


def _before_softmax(subgraph: Subgraph, output: int) -> tuple[Probe, bool]:
    producers = {tensor: operator for operator in subgraph.operators for tensor in operator.outputs}
    tensor = output
    while tensor in producers and producers[tensor].name in _PLAIN:
        tensor = producers[tensor].inputs[0]
    if tensor in producers and producers[tensor].name == "SOFTMAX":
        return probe_of(subgraph.tensors[producers[tensor].inputs[0]]), True
    return probe_of(subgraph.tensors[output]), False
