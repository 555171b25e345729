"""Whether outputs vary over synthetic samples, and samples on which they do, should they not.

An output that is the same for every sample says nothing of a model. Keyword spotters and other streaming models have
such outputs for one short input, and models with an unusual range for any usual one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter import worker
from ..interpreter.interface import Signature, TensorSpec
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.operators import record_of
from ..model.read import Model, Subgraph
from ..samples.samples import InputSamples, Samples
from ..samples.synthetic import InputHint, Manner, synthetic_samples

_COMPARED: Final = 4, 12
"""Samples on which outputs are compared, at least and at most."""

_FOR_ALL: Final = 60e9
"""Multiplications that all attempts may take."""

_PER_OPERATOR: Final = 100_000
_SEQUENCES: Final = 100
"""Most samples of several invocations."""

_INVOCATIONS: Final = 8, 32
_GAINS: Final = 1 / 16, 4.0, 1 / 256, 64.0, 1 / 4, 1024.0
"""What ranges are multiplied by, in this order; that of codes never grows, and that of other integers only."""

_SAME: Final = 1e-6
"""Deviation of an output beside its size, up to which differences are no more than the rounding of float32."""


@dataclass(frozen=True)
class _Attempt:
    manner: Manner
    gain: float = 1.0

    @property
    def words(self) -> str:
        return "" if self.gain == 1 else f", range multiplied by {self.gain:g}"


def with_varying_outputs(
    process: InterpreterProcess,
    model: Model,
    path: Path,
    signature: Signature,
    samples: Samples,
    hints: Mapping[str, InputHint],
    seed: int,
    threads: int,
    kernels: Kernels,
) -> Samples:
    """Synthetic samples of a signature on which as many of its outputs vary as possible, and the names of the others.

    samples: the plain ones, which are kept unless others have more outputs vary; where some outputs vary on the plain
    ones, every other sample stays plain. hints: the ranges that those were made for. `model` is read from `path`.
    The number of runs is bounded, and depends on the model alone.
    """
    search = _Search(process, model, path, signature, hints, seed, threads, kernels)
    best, constant = samples, search.constant(samples)
    if not constant:
        return samples
    keep_some = len(constant) < len(signature.outputs)
    for attempt in search.attempts():
        if not constant:
            break
        few = search.samples(attempt, search.compared, keep_some)
        still = search.constant(few)
        if still is not None and set(still) < set(constant):
            count = samples.count if attempt.manner.invocations == 1 else min(samples.count, _SEQUENCES)
            best, constant = search.samples(attempt, count, keep_some), still
    return replace(best, constant_outputs=constant or ())


class _Search:
    def __init__(
        self,
        process: InterpreterProcess,
        model: Model,
        path: Path,
        signature: Signature,
        hints: Mapping[str, InputHint],
        seed: int,
        threads: int,
        kernels: Kernels,
    ) -> None:
        self._process = process
        self._path = path
        self._signature = signature
        self._hints = hints
        self._seed = seed
        self._threads = threads
        self._kernels = kernels
        graph = model.subgraph_of(signature.key)
        self._work = 1 + sum(_multiplications(model, each) for each in model.subgraphs)
        self._feedback = _feedback(signature)
        self._has_state = bool(self._feedback) or _keeps_state(model, graph)
        self._left = _FOR_ALL
        least, most = _COMPARED
        self.compared = int(min(max(_FOR_ALL / 4 / self._work, least), most))

    def constant(self, samples: Samples) -> tuple[str, ...] | None:
        """Names of outputs that do not vary over the first samples; None if they cannot be run."""
        try:
            given = samples.batch(0, min(self.compared, samples.count))
            run = worker.run, self._path, self._signature.key, given, self._kernels, self._threads
            outputs = self._process.call(*run)
        except InterpreterFailure:
            return None
        return tuple(spec.name for spec in self._signature.outputs if not varies(outputs[spec.name]))

    def attempts(self) -> Iterator[_Attempt]:
        """What to try, the most natural first, as long as there is time."""
        for attempt in self._all_attempts():
            self._left -= self._work * self.compared * attempt.manner.invocations
            if self._left >= 0:
                yield attempt

    def _all_attempts(self) -> Iterator[_Attempt]:
        short, long = _INVOCATIONS
        if self._has_state:
            yield _Attempt(Manner(invocations=short))
            yield _Attempt(Manner(varied=True, invocations=short))
        yield _Attempt(Manner(varied=True))
        if self._has_state:
            yield _Attempt(Manner(varied=True, invocations=long))
        for gain in _GAINS:
            if any(_is_real(spec) if gain < 1 else not spec.quantised for spec in self._signature.inputs):
                yield _Attempt(Manner(varied=True, invocations=short if self._has_state else 1), gain)

    def samples(self, attempt: _Attempt, count: int, keep_some: bool) -> Samples:
        """So many samples of an attempt; every other one plain if some are to be kept."""
        hints = {**self._hints, **self._scaled(attempt.gain)}
        made = synthetic_samples(self._signature, hints, count, self._seed, attempt.manner)
        if keep_some:
            plain = Manner(invocations=attempt.manner.invocations)
            made = _alternating(synthetic_samples(self._signature, self._hints, count, self._seed, plain), made)
        made = replace(made, source=f"{made.source}{attempt.words}")
        return _fed_back(made, self._feedback) if made.invocations > 1 else made

    def _scaled(self, gain: float) -> dict[str, InputHint]:
        if gain == 1:
            return {}
        real = {
            spec.name: self._hints.get(spec.name, _whole_range(spec))
            for spec in self._signature.inputs
            if _is_real(spec)
        }
        scaled = {name: replace(each, low=gain * each.low, high=gain * each.high) for name, each in real.items()}
        counts = [spec.name for spec in self._signature.inputs if _is_count(spec) and spec.name not in self._hints]
        return {**scaled, **dict.fromkeys(counts if gain > 1 else (), InputHint(0, gain))}


def varies(outputs: list[npt.NDArray[Any]]) -> bool:
    """Whether an output differs from sample to sample, by more than rounding if it is real; one may."""
    first = outputs[0]
    if len(outputs) == 1 or any(each.shape != first.shape for each in outputs):
        return True
    if first.dtype.kind != "f":
        return any(not np.array_equal(each, first) for each in outputs)
    values = np.stack(outputs).astype(np.float64)
    if not np.isfinite(values).all():
        return any(not np.array_equal(each, first, equal_nan=True) for each in outputs)
    deviation, size = np.sqrt(np.mean((values - values.mean(0)) ** 2)), np.sqrt(np.mean(values**2))
    return bool(deviation > _SAME * size)


def _is_real(spec: TensorSpec) -> bool:
    return spec.dtype.kind == "f" or spec.quantised


def _is_count(spec: TensorSpec) -> bool:
    """Whether integers are no codes, but numbers such as indices and lengths."""
    return spec.dtype.kind in "iu" and not spec.quantised and spec.dtype.itemsize > 1


def _whole_range(spec: TensorSpec) -> InputHint:
    if not spec.quantised:
        return InputHint(-1.0, 1.0)
    limits = np.iinfo(spec.dtype)
    low, high = (float(spec.dequantise(np.array(code))) for code in (limits.min, limits.max))
    return InputHint(low, high)


def _keeps_state(model: Model, graph: Subgraph) -> bool:
    """Whether what a run leaves behind can change the next one."""
    return any(tensor.is_variable or tensor.type == "RESOURCE" for tensor in model.tensors) or any(
        record_of(operator).keeps_state for operator in graph.operators
    )


def _feedback(signature: Signature) -> dict[str, str]:
    """State that goes in and out: inputs that have as many outputs of just their kind, if other inputs are left."""
    found: dict[str, str] = {}
    for kind in dict.fromkeys(map(_kind, signature.inputs)):
        going_in, going_out = (
            [spec.name for spec in specs if _kind(spec) == kind] for specs in (signature.inputs, signature.outputs)
        )
        if len(going_in) == len(going_out):
            found.update(zip(going_in, going_out, strict=True))
    return found if len(found) < len(signature.inputs) else {}


def _kind(spec: TensorSpec) -> tuple[object, ...]:
    return spec.shape, spec.shape_signature, spec.dtype, spec.scale, spec.zero_point


def _fed_back(samples: Samples, feedback: Mapping[str, str]) -> Samples:
    """Sequences in which state begins at zero, and is what came out before from then on."""
    inputs = dict(samples.inputs)
    for name in feedback:
        each = inputs[name]
        zero = each.spec.zero_point if each.spec.quantised else 0
        values = np.full((len(each.values), *each.values.shape[1:]), zero, each.spec.dtype)
        inputs[name] = InputSamples(values, each.spec, each.shape)
    return replace(samples, inputs=inputs, feedback=feedback)


def _alternating(plain: Samples, other: Samples) -> Samples:
    """Samples of both by turns."""
    inputs: dict[str, InputSamples] = {}
    number = np.arange(plain.count * plain.invocations) // plain.invocations
    for name, each in plain.inputs.items():
        first, second = (np.asarray(samples.inputs[name].batch(0, len(number))) for samples in (plain, other))
        values = np.where((number % 2 == 0).reshape(-1, *[1] * (first.ndim - 1)), first, second)
        inputs[name] = InputSamples(values, each.spec, each.shape)
    return replace(other, inputs=inputs, source=f"{other.source}, half of them plain noise")


def _multiplications(model: Model, graph: Subgraph) -> int:
    """About what running a graph takes: each place of an output times the elements of the largest constant."""
    total = 0
    for operator in graph.operators:
        tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
        constants = [prod(tensor.shape) for tensor in tensors if model.buffers[tensor.buffer].size]
        output = graph.tensors[operator.outputs[0]].shape if operator.outputs and operator.outputs[0] >= 0 else ()
        total += _PER_OPERATOR + prod(map(abs, output[:-1])) * max(constants, default=0)
    return total
