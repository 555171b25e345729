"""The copy run against the original, on samples, and their outputs compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..calibration.gather import batches, probe_of
from ..calibration.gradients import GradientSeed
from ..calibration.observability import Observability
from ..calibration.output_views import OutputView, places, view_outputs
from ..errors import InterpreterFailure
from ..fidelity.slices import Slices, find_slices
from ..fidelity.sums import ROUNDING, effective_samples, least_samples
from ..interpreter.interface import Sequences
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.outputs import Output, outputs_of, plain_outputs
from ..model.patch import PatchedCopy
from ..model.prefix import prefix
from ..model.read import Model
from ..model.tape import has_gradient
from ..samples.samples import Samples
from .quality import Array, Outputs, Quality, centred, compare_outputs, slice_variances

_LARGEST_EDITED: Final = 64 << 20
"""Bytes of a model up to which an edited copy of it may be kept in memory."""

SampleIndices = Mapping[str | None, npt.NDArray[np.intp]]
"""Indices of samples, by signature."""


class Judge:
    """Knows what the original makes of the samples, and compares the copy with it."""

    def __init__(
        self,
        process: InterpreterProcess,
        model: Model,
        original: Path,
        samples: Mapping[str | None, Samples],
        chosen: SampleIndices,
        held_out: SampleIndices,
        threads: int,
        observability: Mapping[str | None, Observability],
    ) -> None:
        """chosen: all samples that the copy may be judged by. held_out: those of them that it was not fitted to.

        observability: how tensors are read; where no more than the outputs can be, those are compared as they are.
        """
        self._process = process
        self._original = original
        self._samples = samples
        self._held_out = held_out
        self._threads = threads
        self._observability = observability
        self._outputs = {
            key: outputs_of(model, key) if observability[key].keeps else plain_outputs(model, key) for key in samples
        }
        self._edits: Mapping[str | None, Mapping[int, bytes]] = {
            key: self._shorter(model, key, indices) for key, indices in chosen.items()
        }
        self._reference = {key: self._observe(original, key, indices) for key, indices in chosen.items()}
        self._slices = {key: list(map(_slices, self._outputs[key], self._reference[key])) for key in chosen}
        self._row = {key: {int(i): row for row, i in enumerate(indices)} for key, indices in chosen.items()}
        self._chosen = chosen

    def measure(self, copy: PatchedCopy, chosen: SampleIndices | None = None) -> Quality:
        """Compare the copy as it stands with the original, by default on all samples."""
        copy.flush()
        return self._compare(copy.path, self._chosen if chosen is None else chosen)

    def noise_floor(self, chosen: SampleIndices | None = None) -> Quality:
        """Compare the original with itself under other kernels; raises InterpreterFailure where those do not run it."""
        return self._compare(self._original, self._chosen if chosen is None else chosen, Kernels.NO_DELEGATE)

    def first(self, most: int | None) -> SampleIndices:
        """The first samples of each signature; all if `most` is None."""
        return {key: indices[:most] for key, indices in self._chosen.items()}

    @property
    def judges_scores(self) -> bool:
        """Whether some output is scores of several classes."""
        return any(
            output.is_logits and values.shape[2] > 1
            for key, outputs in self._outputs.items()
            for output, values in zip(outputs, self._reference[key], strict=True)
        )

    @property
    def silent(self) -> list[str]:
        """The names of outputs that say nothing, as they do not vary over the samples."""
        return [
            output.tensor.name or f"output {number}"
            for key, outputs in self._outputs.items()
            for number, (output, values) in enumerate(zip(outputs, self._reference[key], strict=True))
            if not _varies(output, values)
        ]

    @property
    def is_silent(self) -> bool:
        """Whether no output says anything."""
        return len(self.silent) == sum(map(len, self._outputs.values()))

    @property
    def exact(self) -> Quality:
        """What a copy without any error has."""
        return self._compared(self._chosen, self._reference)

    def gradient_seeds(self, key: str | None) -> list[GradientSeed]:
        """The outputs of a signature, with the weight of an error: its size beside what tells samples apart."""
        return [
            GradientSeed(output.tensor, _seed_weight(output, values, slices), output.is_logits and values.shape[2] > 1)
            for output, values, slices in zip(self._outputs[key], self._reference[key], self._slices[key], strict=True)
            if has_gradient(output.tensor) and values.size
        ]

    def _compare(self, path: Path, chosen: SampleIndices, kernels: Kernels | None = None) -> Quality:
        seen = {key: self._observe(path, key, indices, kernels) for key, indices in chosen.items()}
        return self._compared(chosen, seen)

    def _compared(self, chosen: SampleIndices, seen: Mapping[str | None, list[Array]]) -> Quality:
        compared: list[Outputs] = []
        for key, indices in chosen.items():
            rows = [self._row[key][int(index)] for index in indices]
            known = self._samples[key].labels
            for number, (output, after) in enumerate(zip(self._outputs[key], seen[key], strict=True)):
                slices = self._slices[key][number]
                compared.append(
                    Outputs(
                        before=_rows(self._reference[key][number][rows]),
                        after=_rows(after),
                        is_logits=output.is_logits,
                        labels=None if known is None or after.shape[1] != 1 else known[indices],
                        held_out=np.repeat(np.isin(indices, self._held_out[key]), after.shape[1]),
                        slices=np.zeros(after.shape[2], np.intp) if slices is None else _of_elements(slices),
                    )
                )
        return compare_outputs(compared)

    def _observe(
        self,
        path: Path,
        key: str | None,
        indices: npt.NDArray[np.intp],
        kernels: Kernels | None = None,
        edits: Mapping[int, bytes] | None = None,
    ) -> list[Array]:
        """What is compared of each output: (samples, rows, columns); by default under the kernels that run it."""
        how = self._observability[key]
        edits = self._edits[key] if edits is None else edits
        views = [OutputView(probe_of(output.tensor), output.is_logits) for output in self._outputs[key]]
        found: list[list[npt.NDArray[np.float32]]] = []
        for batch in batches(self._samples[key], indices):
            keeps = how.keeps and not edits
            call = (view_outputs, path, key, batch, views, kernels or how.run, self._threads, keeps, edits)
            found.extend(self._process.call(*call))
        return [np.stack([sample[i] for sample in found]).astype(np.float64) for i in range(len(views))]

    def _shorter(self, model: Model, key: str | None, indices: npt.NDArray[np.intp]) -> dict[int, bytes]:
        """Edits that make the only tensor to compare the model's only output; empty where that changes anything.

        A model that need not keep its intermediate tensors takes a third less time.
        """
        is_sequence = isinstance(self._samples[key].batch(0, 1), Sequences)  # which need the outputs that come back
        if len(self._outputs[key]) != 1 or not self._observability[key].keeps:
            return {}
        if is_sequence or model.size > _LARGEST_EDITED:
            return {}
        edits = prefix(model, self._outputs[key][0].tensor)
        try:
            first, again = (self._observe(self._original, key, indices[:1], edits=each) for each in ({}, edits))
        except InterpreterFailure:
            return {}
        return edits if all(map(np.array_equal, first, again)) else {}


def _slices(output: Output, values: Array) -> Slices | None:
    """The slices of an output, from what is observed of it, (samples, rows, columns); None where all is one."""
    shape = output.tensor.shape
    elements = math.prod(shape)
    if output.is_logits or values.shape[1] != 1 or not values.size:
        return None
    if not isinstance(chosen := places(elements), slice) and len(chosen) != values.shape[2]:
        return None
    if isinstance(chosen, slice) and elements != values.shape[2]:
        return None  # the real shape is known only when the model runs
    deviation = np.full(elements, np.nan)
    deviation[chosen] = values[:, 0].std(0)
    is_vector = sum(size > 1 for size in shape) == 1
    slices = find_slices(deviation, shape, is_vector and values.min() >= 0 and values.max() <= 1)
    return slices if slices.count > 1 else None


def _of_elements(slices: Slices) -> npt.NDArray[np.intp]:
    """The slice of each element that is observed."""
    return np.asarray(slices.of_elements[places(math.prod(slices.shape))])


def _seed_weight(output: Output, values: Array, slices: Slices | None) -> float | npt.NDArray[np.float32]:
    """One over the root of the variance of all elements, in each slice its own."""
    size = max(values[0].size, math.prod(output.tensor.shape))
    if slices is None:
        return float(1 / math.sqrt(slice_variances(_rows(values), np.zeros(values.shape[2], np.intp))[0] * size))
    variances = slice_variances(values[:, 0], _of_elements(slices))
    counts = np.bincount(slices.of_elements, minlength=slices.count)
    weights = 1 / np.sqrt(variances * counts * slices.count)
    return np.asarray(weights[slices.of_elements].reshape(output.tensor.shape), np.float32)


def _varies(output: Output, values: Array) -> bool:
    """Whether enough samples differ: (samples, rows, columns)."""
    flat: Array = values.reshape(len(values), -1)
    if output.is_logits and values.shape[2] > 1:
        flat = centred(values.reshape(-1, values.shape[2])).reshape(flat.shape)
    deviation = flat.std(0)
    alive = deviation > ROUNDING * np.abs(flat.mean(0))
    return bool(alive.any()) and effective_samples(flat[:, alive]) >= least_samples(len(flat))


def _rows(values: Array) -> Array:
    """All rows of all samples as samples of their own."""
    samples, rows, columns = values.shape
    return values.reshape(samples * rows, columns)
