"""Gradients of the outputs, brought back through the operators of a tape by reverse mode.

`collect_gradients` runs in the interpreter's process, which has all activations and weights at hand. Codes count as the
real values that they stand for, rounding as the identity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter.runtime import Kernels
from ..interpreter.worker import each_run, open_model
from ..model.read import Tensor
from ..model.tape import Tape
from .derivatives import Values, before_activation, to_operands
from .moments import Floats, Moments
from .weight_gradients import WeightInput, effect

_PLACES: Final = 256
"""Most places of a sample that are counted in. Places that lie side by side have much the same gradients."""


@dataclass(frozen=True)
class GradientSeed:
    """An output in which gradients begin.

    weight: how much an error of it, or of each element, counts. scores: whether its last axis holds class scores, to
    which a number may be added without any effect.
    """

    tensor: Tensor
    weight: float | Floats
    scores: bool


@dataclass
class GradientSums:
    """What is summed up of gradients over samples, by the tensor at which they are: the output of a layer."""

    moments: dict[int, Moments] = field(default_factory=dict)
    """Second moments of the gradients of all channels at one place."""
    effects: dict[int, float] = field(default_factory=dict)
    """Effects of errors of the layer's weight."""

    def add(self, other: GradientSums) -> None:
        """Take in the sums of other samples."""
        for tensor, moments in other.moments.items():
            self.moments.setdefault(tensor, Moments.empty(*moments.first.shape)).add(moments)
        for tensor, effect_there in other.effects.items():
            self.effects[tensor] = self.effects.get(tensor, 0.0) + effect_there


def collect_gradients(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    seeds: Sequence[GradientSeed],
    tape: Tape,
    coupled: Collection[int],
    weights: Mapping[int, WeightInput],
    random_seed: Sequence[int],
    kernels: Kernels,
    threads: int,
) -> GradientSums:
    """Sums of the gradients that come back to the tensors that the tape keeps, over a batch of samples.

    They are those of a random sum of all outputs' elements: E[g gᵀ] = E[Jᵀ J] of the outputs' derivatives J. One
    observation is what comes to all channels at one place, before the operator's activation. coupled: tensors that
    get second moments. weights: inputs of the weights that get effects, by the output tensor of their layer. Raises
    InterpreterFailure for a graph that no converter makes and the kernels run all the same: an output written twice,
    axes of a scalar.
    """
    model = open_model(path, kernels, threads, preserve_all_tensors=True)
    sums = GradientSums()
    for sample in each_run(model, key, batch):
        generator = np.random.default_rng([*random_seed, sample])
        try:
            found = dict(zip(tape.kept, _back(Values(model), seeds, tape, generator), strict=True))
            moments = {tensor: _at_some_places(found[tensor], generator) for tensor in found if tensor in coupled}
            effects = {tensor: effect(weights[tensor], model, found[tensor]) for tensor in found if tensor in weights}
        except (ArithmeticError, LookupError, ValueError) as error:
            raise InterpreterFailure(f"no gradients can be brought back: {error}") from error
        sums.add(GradientSums(moments, effects))
    return sums


def _at_some_places(gradient: Floats, generator: np.random.Generator) -> Moments:
    """Moments of all channels at random places."""
    observed = gradient.reshape(-1, 1, gradient.shape[-1])
    if len(observed) > _PLACES:
        observed = observed[generator.integers(len(observed), size=_PLACES)]
    moments = Moments.empty(1, gradient.shape[-1])
    moments.count_in(observed)
    return moments


def _back(values: Values, seeds: Sequence[GradientSeed], tape: Tape, generator: np.random.Generator) -> list[Floats]:
    """The gradients that the tape keeps, in its order."""
    gradients: dict[int, Floats] = {}
    for seed in seeds:
        _add(gradients, seed.tensor, _start(values, seed, generator))
    kept: list[Floats] = []
    for step in tape.steps:
        gradient = gradients.pop(step.output.index)
        gradient = before_activation(values, step, gradient)
        if step.keeps:
            kept.append(gradient)
        for operand, part in to_operands(values, step, gradient):
            _add(gradients, operand, part)
    return kept


def _start(values: Values, seed: GradientSeed, generator: np.random.Generator) -> Floats:
    shape = values.stored(seed.tensor).shape
    gradient: Floats = generator.standard_normal(shape, np.float32) * np.asarray(seed.weight, np.float32)
    return gradient - gradient.mean(-1, keepdims=True) if seed.scores else gradient


def _add(gradients: dict[int, Floats], tensor: Tensor, part: Floats) -> None:
    gradients[tensor.index] = gradients[tensor.index] + part if tensor.index in gradients else part
