"""How many samples and passes a model is worth: cheap ones get more, and dear ones still end in about the time that is
given, two minutes unless another effort is asked for.

The plan comes from a count of the work, so that the same model gets the same plan every time. One run is measured too,
but counts only where it takes several times as long as was to be expected, as with operators that have slow kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..interpreter.timing import processor_seconds
from ..model.operators import record_of
from ..model.read import Model
from ..model.weight import User, Weight

_PER_OPERATOR: Final = 100_000
"""Multiplications that starting an operator is worth."""

_PER_OPERATOR_OPENED: Final = 3_000_000
"""The same where the model is opened anew for every run, as one with resource variables is."""

_WITH_INT16: Final = 30
"""How many other multiplications take as long as one with int16 activations, which has no fast kernels."""

_PER_SECOND: Final = 5e10
_OVERHEAD: Final = 2e-4
"""Multiplications in a second of one processor, and seconds of a run beside them, as measured on desktop processors."""

_SLOW: Final = 3.0
_STEP: Final = 4
"""How many times as long as expected a run takes to be called slow, and the ratio between grades of that, so that the
plan does not depend on how exact a measurement is: models with fast kernels lie between 0.1 and 2.
"""

_FOR_CALIBRATION: Final = 200e9
_FOR_SENSITIVITIES: Final = 400e9
_FOR_PASS: Final = 400e9
_FOR_GRADIENTS: Final = 40e9
"""Multiplications that each of these may take in all."""


@dataclass(frozen=True)
class Budget:
    """What an effort may take."""

    work: float
    """How many times the multiplications above."""
    seconds: float
    """What a run is meant to take at most on two idle processors."""
    is_short: bool = False
    """Whether sensitivities are computed from gradients where that can be done, the search ends after two candidates
    if one of them is good, and no more samples are made up than the search uses.
    """


NORMAL: Final = Budget(1.0, 120.0)
BUDGETS: Final = {"fast": Budget(1 / 16, 20.0, is_short=True), "normal": NORMAL, "thorough": Budget(10.0, 1200.0)}
"""By the name of an effort."""

_LARGE: Final = 20e6
"""Bytes of a file from which on it may take longer, in proportion."""


@dataclass(frozen=True)
class _Range:
    """How many samples something takes: at most, usually at least, and at the very least."""

    least: int
    usual: int
    most: int

    def within(self, value: float, stretch: float, share: float) -> int:
        """As many as the value says, but below the usual least up to that times `stretch`.

        share: of the most samples, 0 to 1. A short run has fewer even if the model is cheap.
        """
        if value < self.usual:
            value = min(value * stretch, self.usual)
        return int(max(min(value, self.most * share), self.least))


_SAMPLES: Final = _Range(64, 300, 1000)
_SAMPLES_IN_SHORT: Final = _Range(48, 300, 2000)
_SENSITIVITY_SAMPLES: Final = _Range(2, 8, 200)
_GRADIENT_SAMPLES: Final = _Range(8, 16, 160)
_PASS_SAMPLES: Final = 200, 400
_SYNTHETIC: Final = 100
"""Synthetic samples at least, unless a run is short."""

_PROBES: Final = 60
_PROBES_IN_SHORT: Final = 30
"""Probes that candidates are judged by: twelve of each kind, or six."""


@dataclass(frozen=True)
class Effort:
    """What running a model once takes, in multiplications, and how often it may therefore be run.

    slowness: how many times as long as its multiplications say a run really takes, 1 or a power of 4. size: bytes of
    the file. budget: what it may take.
    """

    per_run: int
    slowness: int = 1
    size: int = 0
    budget: Budget = NORMAL

    @classmethod
    def of(
        cls, model: Model, weights: Iterable[Weight], seconds: float | None = None, budget: Budget = NORMAL
    ) -> Effort:
        """Count the multiplications of all weights, and something for every operator.

        seconds: of one processor that one run takes, if that was measured. budget: one of BUDGETS.
        """
        operators = sum(len(subgraph.operators) for subgraph in model.subgraphs)
        is_opened = any(tensor.type == "RESOURCE" for tensor in model.tensors)
        each = _PER_OPERATOR_OPENED if is_opened else _PER_OPERATOR
        per_run = operators * each + sum(_multiplications(model, weight) for weight in weights)
        return cls(per_run, 1 if seconds is None else _slowness(seconds, per_run), model.size, budget)

    def of_invocations(self, count: int) -> Effort:
        """What runs of so many invocations each take."""
        return replace(self, per_run=self.per_run * count)

    @property
    def samples(self) -> int:
        """Samples to calibrate and judge on at most."""
        samples = _SAMPLES_IN_SHORT if self.is_short else _SAMPLES
        return samples.within(self._runs(_FOR_CALIBRATION), self._share, self._most)

    @property
    def synthetic_samples(self) -> int:
        """Samples to make up at most: not more than are calibrated on, though comparing takes no fewer than 100 unless
        the run is short.
        """
        return self.samples if self.is_short else max(self.samples, _SYNTHETIC)

    @property
    def probes(self) -> int:
        """Probes to make up, if candidates are judged by any."""
        return _PROBES_IN_SHORT if self.is_short else _PROBES

    @property
    def is_short(self) -> bool:
        """Whether this is the least effort."""
        return self.budget.is_short

    def sensitivity_samples(self, perturbations: int) -> int:
        """Samples for each of so many perturbations."""
        runs = self._runs(_FOR_SENSITIVITIES) / max(perturbations, 1)
        return _SENSITIVITY_SAMPLES.within(runs, 2 * self._share, self._most)

    @property
    def gradient_samples(self) -> int:
        """Samples of each signature whose gradients are brought back."""
        return _GRADIENT_SAMPLES.within(self._runs(_FOR_GRADIENTS), self._share, self._most)

    def pass_samples(self, layers: int) -> int:
        """Samples for clustering layers in order; 0 if there is time for too few. Each takes half a run of two models.

        Clustering only some of the layers in order gains little, and mostly on the samples used.
        """
        samples = min(self._runs(_FOR_PASS) / max(layers, 1), _PASS_SAMPLES[1] * self._most)
        return int(samples) if samples >= _PASS_SAMPLES[0] else 0

    def left_out(self, available: int, weights: int, layers: int, *, searches: bool = True) -> tuple[str, ...]:
        """What a run in bounded time does without, in words, if it does without anything.

        available: samples that there are. weights: that are perturbed. layers: that could be clustered in order.
        searches: whether candidates are tried at all.
        """
        usual = min(available, _SAMPLES.usual)
        found: list[str] = []
        if self.samples < usual:
            found.append(f"only {self.samples} of {usual} samples are used to calibrate and search")
        if searches:
            found += self._left_out_of_search(available, weights, layers)
        if not found:
            return ()
        slow = f" (one run takes {self.slowness} times as long as the model size suggests)" if self.slowness > 1 else ""
        return (f"some of the work, to end in about {self.time}{slow}: {', '.join(found)}",)

    def _left_out_of_search(self, available: int, weights: int, layers: int) -> Iterator[str]:
        few = self.sensitivity_samples(weights)
        if self.is_short:
            yield "sensitivities are computed from gradients, and measured only for weights without any"
            yield "the search ends after two candidates if one of them is good"
        elif few < min(available, _SENSITIVITY_SAMPLES.usual):
            yield f"sensitivities are measured on only {few} samples"
        if layers > 1 and not self.pass_samples(layers):
            yield "layers are not clustered in the order in which they run"

    @property
    def time(self) -> str:
        """How long a run is meant to take at most on two processors, in words."""
        minutes = self.budget.seconds / 60 * self._share
        return f"{minutes:.0f} minutes" if minutes > 1.5 else f"{60 * minutes:.0f} seconds"

    def _runs(self, multiplications: float) -> float:
        """How often this model may be run, if all runs at the usual effort may take so many multiplications."""
        return multiplications * self.budget.work / (self.per_run * self.slowness)

    @property
    def _most(self) -> float:
        """Share (0 to 1) of the most samples that a short run has: their number is what it takes on cheap models."""
        return min(self.budget.work, 1.0)

    @property
    def _share(self) -> float:
        """How much longer than others a large model may take."""
        return max(self.size / _LARGE, 1.0)


def measured(
    process: InterpreterProcess,
    path: Path,
    key: str | None,
    sample: Mapping[str, npt.NDArray[Any]],
    kernels: Kernels,
) -> float | None:
    """Seconds of one processor that a run takes, or None if it does not run. sample: a batch of one."""
    try:
        return process.call(processor_seconds, path, key, sample, kernels)
    except InterpreterFailure:
        return None


def _slowness(seconds: float, per_run: int) -> int:
    ratio = seconds / (per_run / _PER_SECOND + _OVERHEAD)
    return int(_STEP ** math.floor(math.log(ratio / _SLOW, _STEP) + 1)) if ratio >= _SLOW else 1


def _multiplications(model: Model, weight: Weight) -> int:
    """Of each element by all that one run gives it."""
    users = [
        user
        for user in weight.users
        if record_of(user.operator).layer is not None and (*user.operator.outputs, -1)[0] >= 0
    ]
    return prod(weight.tensor.shape) * sum(_places(model, user) for user in users)


def _places(model: Model, user: User) -> int:
    """How many rows of multiplications one run takes, in those that run in the same time with fast kernels."""
    operator = user.operator
    tensors = model.subgraphs[operator.subgraph].tensors
    output = tensors[operator.outputs[0]]
    places = record_of(operator).places
    source = tensors[operator.inputs[places]] if places is not None and operator.has(places) else output
    return prod(map(abs, source.shape[:-1])) * (_WITH_INT16 if output.type == "INT16" else 1)
