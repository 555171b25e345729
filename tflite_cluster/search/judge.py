"""The copy run against the original, on samples, and their outputs compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..calibration.gather import batches, probe_of
from ..calibration.gradients import End
from ..calibration.looks import Look, look_at
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.outputs import outputs_of
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.tape import has_gradient
from ..samples.samples import Samples
from .quality import Array, Quality, compare_outputs, variance

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
        self._outputs = {key: outputs_of(model, key) for key in samples}
        self._reference = {key: self._observe(original, key, indices) for key, indices in chosen.items()}
        self._row = {key: {int(i): row for row, i in enumerate(indices)} for key, indices in chosen.items()}

    def measure(self, copy: PatchedCopy, chosen: Chosen) -> Quality:
        """Compare the copy as it stands with the original."""
        copy.flush()
        return self._compare(copy.path, chosen, Kernels.DEFAULT)

    def noise_floor(self, chosen: Chosen) -> Quality:
        """Compare the original with itself under other kernels."""
        return self._compare(self._original, chosen, Kernels.NO_DELEGATE)

    def ends(self, key: str | None) -> list[End]:
        """The outputs of a signature, of which an error counts by its size beside what tells samples apart."""
        pairs = zip(self._outputs[key], self._reference[key], strict=True)
        return [
            End(
                output.tensor,
                1 / math.sqrt(variance(_rows(values)) * max(values[0].size, math.prod(output.tensor.shape))),
                output.is_logits and values.shape[2] > 1,
            )
            for output, values in pairs
            if has_gradient(output.tensor) and values.size
        ]

    def _compare(self, path: Path, chosen: Chosen, kernels: Kernels) -> Quality:
        before: list[Array] = []
        after: list[Array] = []
        is_logits: list[bool] = []
        labels: list[npt.NDArray[np.int64] | None] = []
        unseen: list[npt.NDArray[np.bool_]] = []
        for key, indices in chosen.items():
            rows = [self._row[key][int(index)] for index in indices]
            before += [_rows(values[rows]) for values in self._reference[key]]
            seen = self._observe(path, key, indices, kernels)
            after += map(_rows, seen)
            is_logits += [output.is_logits for output in self._outputs[key]]
            known = self._samples[key].labels
            labels += [None if known is None or values.shape[1] != 1 else known[indices] for values in seen]
            unseen += [np.repeat(np.isin(indices, self._unseen[key]), values.shape[1]) for values in seen]
        return compare_outputs(before, after, is_logits, labels, unseen)

    def _observe(
        self, path: Path, key: str | None, indices: npt.NDArray[np.intp], kernels: Kernels = Kernels.DEFAULT
    ) -> list[Array]:
        """What is compared of each output: (samples, rows, columns)."""
        looks = [Look(probe_of(output.tensor), output.is_logits) for output in self._outputs[key]]
        found: list[list[npt.NDArray[np.float32]]] = []
        for batch in batches(self._samples[key], indices):
            found.extend(self._process.call(look_at, path, key, batch, looks, kernels, self._threads))
        return [np.stack([sample[i] for sample in found]).astype(np.float64) for i in range(len(looks))]


def _rows(values: Array) -> Array:
    """All rows of all samples as samples of their own."""
    samples, rows, columns = values.shape
    return values.reshape(samples * rows, columns)
