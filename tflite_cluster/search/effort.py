"""How many samples and passes a model is worth: cheap models get more, and dear ones still end in a minute or two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from ..model.layers import Layer
from ..model.read import Model
from ..model.select import Weight

_PER_OPERATOR: Final = 100_000
"""Multiplications that starting an operator is worth."""

_WITH_INT16: Final = 30
"""Multiplications of others that one with int16 activations takes as long as: there are no fast kernels for them."""

_FOR_CALIBRATION: Final = 200e9
_FOR_SENSITIVITIES: Final = 400e9
_FOR_PASS: Final = 400e9
_FOR_GRADIENTS: Final = 40e9
"""Multiplications that each of these may take in all."""

_SAMPLES: Final = 300, 1000
_SENSITIVITY_SAMPLES: Final = 8, 200
_GRADIENT_SAMPLES: Final = 16, 160


@dataclass(frozen=True)
class Effort:
    """What running a model once takes, in multiplications, and how often it may therefore be run."""

    per_run: int

    @classmethod
    def of(cls, model: Model, weights: Iterable[tuple[Weight, Layer]]) -> Effort:
        """Count the multiplications of all weights, and something for every operator."""
        operators = sum(len(subgraph.operators) for subgraph in model.subgraphs)
        return cls(operators * _PER_OPERATOR + sum(_multiplications(model, *pair) for pair in weights))

    @property
    def samples(self) -> int:
        """Samples to calibrate and judge on at most."""
        return _within(_SAMPLES, _FOR_CALIBRATION / self.per_run)

    def sensitivity_samples(self, perturbations: int) -> int:
        """Samples for each of so many perturbations."""
        return _within(_SENSITIVITY_SAMPLES, _FOR_SENSITIVITIES / self.per_run / max(perturbations, 1))

    @property
    def gradient_samples(self) -> int:
        """Samples of each signature whose gradients are brought back."""
        return _within(_GRADIENT_SAMPLES, _FOR_GRADIENTS / self.per_run)

    def allows_passes(self, layers: int, samples: int) -> bool:
        """Whether layers can be clustered one after the other, for each of which two models are run on all samples.

        Some of the layers would not do: they make up for little, and for that mostly on the samples seen.
        """
        return 2 * layers * samples * self.per_run <= _FOR_PASS


def _multiplications(model: Model, weight: Weight, layer: Layer) -> int:
    kind = model.subgraphs[layer.operator.subgraph].tensors[layer.input].type
    return weight.count * _places(model, layer) * (_WITH_INT16 if kind == "INT16" else 1)


def _places(model: Model, layer: Layer) -> int:
    """How often one run uses each element of the weight."""
    tensors = model.subgraphs[layer.operator.subgraph].tensors
    if layer.kind == "pixels":
        return max(prod(map(abs, tensors[layer.input].shape)) // layer.columns, 1)
    return prod(map(abs, tensors[layer.output].shape[:-1]))


def _within(limits: tuple[int, int], value: float) -> int:
    return int(min(max(value, limits[0]), limits[1]))
