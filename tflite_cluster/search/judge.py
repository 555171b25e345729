"""The copy run against the original, on samples, and their outputs compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..calibration.gather import batches, probe_of
from ..calibration.moments import Probe, observe
from ..calibration.samples import Samples
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.patch import PatchedCopy
from ..model.read import Model, Subgraph
from .quality import Array, Quality, compare_outputs

Chosen = Mapping[str | None, npt.NDArray[np.intp]]
"""Indices of samples, by signature."""


class Judge:
    """Knows what the original makes of the samples, and compares the copy with it."""

    def __init__(
        self,
        process: InterpreterProcess,
        model: Model,
        original: Path,
        samples: Mapping[str | None, Samples],
        chosen: Chosen,
        unseen: Chosen,
        threads: int,
    ) -> None:
        """chosen: all samples that the copy may be judged by. unseen: those of them that it was not fitted to."""
        self._process = process
        self._original = original
        self._samples = samples
        self._unseen = unseen
        self._threads = threads
        self._probes = {key: _output_probes(model, key) for key in samples}
        self._reference = {key: self._observe(original, key, indices) for key, indices in chosen.items()}
        self._row = {key: {int(i): row for row, i in enumerate(indices)} for key, indices in chosen.items()}

    def measure(self, copy: PatchedCopy, chosen: Chosen) -> Quality:
        """Compare the copy as it stands with the original."""
        copy.flush()
        return self._compare(copy.path, chosen, Kernels.DEFAULT)

    def noise_floor(self, chosen: Chosen) -> Quality:
        """Compare the original with itself under other kernels."""
        return self._compare(self._original, chosen, Kernels.NO_DELEGATE)

    def _compare(self, path: Path, chosen: Chosen, kernels: Kernels) -> Quality:
        before: list[Array] = []
        after: list[Array] = []
        is_logits: list[bool] = []
        labels: list[npt.NDArray[np.int64] | None] = []
        unseen: list[npt.NDArray[np.bool_]] = []
        for key, indices in chosen.items():
            rows = [self._row[key][int(index)] for index in indices]
            before += [values[rows] for values in self._reference[key]]
            after += self._observe(path, key, indices, kernels)
            is_logits += [logits for _, logits in self._probes[key]]
            known = self._samples[key].labels
            labels += [None if known is None else known[indices]] * len(self._probes[key])
            unseen += [np.isin(indices, self._unseen[key])] * len(self._probes[key])
        return compare_outputs(before, after, is_logits, labels, unseen)

    def _observe(
        self, path: Path, key: str | None, indices: npt.NDArray[np.intp], kernels: Kernels = Kernels.DEFAULT
    ) -> list[Array]:
        probes = [probe for probe, _ in self._probes[key]]
        found: list[list[npt.NDArray[np.float32]]] = []
        for batch in batches(self._samples[key], indices):
            found.extend(self._process.call(observe, path, key, batch, probes, kernels, self._threads))
        return [np.stack([sample[i] for sample in found]).astype(np.float64) for i in range(len(probes))]


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
