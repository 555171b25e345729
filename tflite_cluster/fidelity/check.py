"""Run the original and the clustered model on the same inputs, in the same child, under the same kernels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter import worker
from ..interpreter.interface import ModelInterface, Signature
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..progress import Progress
from .accuracy import Accuracy
from .metrics import OutputComparison
from .verdict import Fidelity, NoiseFloor, OutputFidelity

Batch = dict[str, npt.NDArray[Any]]
Outputs = dict[str, list[npt.NDArray[Any]]]

_STAGE = "Comparing"
_BATCH_SECONDS = 1.0
_BATCH_BYTES = 32 << 20
_BATCH_SAMPLES = 64
_NOISE_SAMPLES = 8


class Inputs(Protocol):
    """Samples for one signature."""

    @property
    def count(self) -> int:
        """How many samples there are."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The right class of each sample, [count], if known."""
        ...

    @property
    def source(self) -> str:
        """Where they come from, in words."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether they are synthetic."""
        ...

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start to stop - 1: input name -> [samples, *shape of the input], as the interpreter takes them."""
        ...


def check_fidelity(
    process: InterpreterProcess,
    original: Path,
    clustered: Path,
    interface: ModelInterface,
    samples: Mapping[str | None, Inputs],
    *,
    threads: int = 1,
    classes: bool = False,
    chosen: Mapping[str | None, frozenset[int]] | None = None,
    progress: Progress | None = None,
    kernels: Kernels = Kernels.DEFAULT,
) -> Fidelity:
    """Compare every output of every signature on `samples`, which maps the key of each signature to its inputs.

    `classes` has every output that is one vector per sample taken for class scores, as labels do; without it only those
    that look like probabilities are. `chosen` holds the tensor indices of the outputs that depend on a choice, by
    signature. `progress` is called with the stage, the samples done and their total. `kernels` are those that run the
    original.

    Never raises InterpreterFailure: an original that cannot be run makes the status `not checked`, a clustered model
    that cannot be run where the original could `broken`.
    """
    signatures = [signature for signature in interface.signatures if signature.key in samples and signature.outputs]
    if not signatures:
        return Fidelity("not checked", "the model has no outputs that could be compared")
    basis = _basis(signatures, samples)
    total = sum(samples[signature.key].count for signature in signatures)
    check = _Check(process, original, clustered, threads, kernels, progress, total)
    comparisons: list[_Comparison] = []
    try:
        for signature in signatures:
            comparison = _Comparison(signature, samples[signature.key], classes, (chosen or {}).get(signature.key))
            check.compare(comparison)
            comparisons.append(comparison)
    except _OriginalFailure as failure:
        return Fidelity("not checked", f"the original model cannot be run: {failure.cause}", basis)
    except _ClusteredFailure as failure:
        cause = f"the clustered model cannot be run, though the original can: {failure.cause}"
        return Fidelity("broken", cause, basis)
    return Fidelity(
        "checked",
        basis=basis,
        synthetic=any(comparison.inputs.synthetic for comparison in comparisons),
        outputs=tuple(output for comparison in comparisons for output in comparison.results()),
        accuracy=next(filter(None, (comparison.accuracy() for comparison in comparisons)), None),
        note=next(filter(None, (comparison.misfit_of_labels() for comparison in comparisons)), None),
        noise_floor=check.noise_floor(comparisons),
    )


class _OriginalFailure(InterpreterFailure):
    pass


class _ClusteredFailure(InterpreterFailure):
    pass


@dataclass
class _Comparison:
    """All outputs of one signature."""

    signature: Signature
    inputs: Inputs
    classes: bool
    chosen: frozenset[int] | None = None
    outputs: list[OutputComparison] = field(init=False)

    def __post_init__(self) -> None:
        classes = self.classes or self.inputs.labels is not None
        self.outputs = [
            OutputComparison(
                self.signature.key,
                spec,
                classes,
                chosen=spec.index in (self.chosen or ()),
                complete=not self.signature.inputs,
            )
            for spec in self.signature.outputs
        ]

    def add(self, before: Outputs, after: Outputs) -> None:
        for output in self.outputs:
            name = output.spec.name
            for one, other in zip(before[name], after[name], strict=True):
                output.add(one, other)

    def results(self) -> list[OutputFidelity]:
        return [output.result() for output in self.outputs]

    def accuracy(self) -> Accuracy | None:
        """Accuracy of the first output that has scores for the labels."""
        labels = self.inputs.labels
        if labels is None:
            return None
        return next(filter(None, (output.accuracy(labels) for output in self.outputs)), None)

    def misfit_of_labels(self) -> str | None:
        """Say why labels tell no accuracy, if there are some that do not."""
        labels = self.inputs.labels
        if labels is None or self.accuracy() is not None:
            return None
        output = max(self.outputs, key=lambda output: output.classes_scored)
        if not output.classes_scored:
            return "labels are given, but no output holds scores for classes: no accuracy"
        name, classes = output.spec.name, output.classes_scored
        return f"labels run to {labels.max()}, but {name} has {classes} classes, 0 to {classes - 1}: no accuracy"


@dataclass
class _Check:
    """Both models in their process, and how far the check has come; output_bytes: of the latest sample."""

    process: InterpreterProcess
    original: Path
    clustered: Path
    threads: int
    kernels: Kernels
    progress: Progress | None
    total: int
    done: int = 0
    output_bytes: float = 0.0

    def compare(self, comparison: _Comparison) -> None:
        self._report()
        for batch, count in self._batches(comparison.inputs):
            key = comparison.signature.key
            before = self._run(_OriginalFailure, self.original, key, batch)
            after = self._run(_ClusteredFailure, self.clustered, key, batch)
            if after.keys() != before.keys():
                raise _ClusteredFailure(f"it has the outputs {sorted(after)}, not {sorted(before)}")
            comparison.add(before, after)
            self.output_bytes = sum(values.nbytes for several in before.values() for values in several) / count
            self.done += count
            self._report()

    def _report(self) -> None:
        if self.progress is not None:
            self.progress(_STAGE, self.done, self.total)

    def _batches(self, inputs: Inputs) -> Iterator[tuple[Batch, int]]:
        """Give batches that take about a second, so that progress shows and a time-out means a hang."""
        start, size = 0, 1
        while start < inputs.count:
            stop = min(start + size, inputs.count)
            begun = time.monotonic()
            batch = inputs.batch(start, stop)
            yield batch, stop - start
            per_sample = (time.monotonic() - begun) / (stop - start)
            bytes_per_sample = sum(values.nbytes for values in batch.values()) / (stop - start) + self.output_bytes
            size = int(min(_BATCH_SECONDS / max(per_sample, 1e-9), _BATCH_BYTES / max(bytes_per_sample, 1)))
            size = max(1, min(size, _BATCH_SAMPLES))
            start = stop

    def _run(
        self,
        failure: type[InterpreterFailure],
        path: Path,
        key: str | None,
        batch: Batch,
        kernels: Kernels | None = None,
    ) -> Outputs:
        try:
            return self.process.call(worker.run, path, key, batch, kernels or self.kernels, self.threads)
        except InterpreterFailure as error:
            raise failure(error.cause) from error

    def noise_floor(self, comparisons: list[_Comparison]) -> NoiseFloor:
        """Run the original with and without XNNPACK on the first samples of each signature."""
        results: list[OutputFidelity] = []
        most = 0
        for comparison in comparisons:
            floor = _Comparison(comparison.signature, comparison.inputs, comparison.classes, comparison.chosen)
            count = min(_NOISE_SAMPLES, comparison.inputs.count)
            batch, key = comparison.inputs.batch(0, count), comparison.signature.key
            try:
                before = self._run(_OriginalFailure, self.original, key, batch)
                after = self._run(_OriginalFailure, self.original, key, batch, Kernels.NO_DELEGATE)
            except _OriginalFailure as failure:
                return NoiseFloor(0, (), f"under other kernels the original cannot be run: {failure.cause}")
            floor.add(before, after)
            results += floor.results()
            most = max(most, count)
        return NoiseFloor(most, tuple(results))


def _basis(signatures: list[Signature], samples: Mapping[str | None, Inputs]) -> str:
    sources = {signature.key: samples[signature.key].source for signature in signatures}
    if len(set(sources.values())) == 1:
        return next(iter(sources.values()))
    return "; ".join(f"{source} for {key}" for key, source in sources.items())
