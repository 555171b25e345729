"""How many samples and passes a model is worth: cheap models get more, and dear ones still end in a minute or two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from ..model.layers import MATRIX_OPERATORS
from ..model.read import Model
from ..model.select import User, Weight

_PER_OPERATOR: Final = 100_000
"""Multiplications that starting an operator is worth."""

_PER_OPERATOR_OPENED: Final = 3_000_000
"""The same where the model is opened anew for every run, as one with resource variables is."""

_WITH_INT16: Final = 30
"""Multiplications of others that one with int16 activations takes as long as: there are no fast kernels for them."""

_FOR_CALIBRATION: Final = 200e9
_FOR_SENSITIVITIES: Final = 400e9
_FOR_PASS: Final = 400e9
_FOR_GRADIENTS: Final = 40e9
"""Multiplications that each of these may take in all."""

_SAMPLES: Final = 300, 1000
_PASS_SAMPLES: Final = 200, 400
_SENSITIVITY_SAMPLES: Final = 8, 200
_GRADIENT_SAMPLES: Final = 16, 160


@dataclass(frozen=True)
class Effort:
    """What running a model once takes, in multiplications, and how often it may therefore be run."""

    per_run: int

    @classmethod
    def of(cls, model: Model, weights: Iterable[Weight]) -> Effort:
        """Count the multiplications of all weights, and something for every operator."""
        operators = sum(len(subgraph.operators) for subgraph in model.subgraphs)
        is_opened = any(tensor.type == "RESOURCE" for tensor in model.tensors)
        each = _PER_OPERATOR_OPENED if is_opened else _PER_OPERATOR
        return cls(operators * each + sum(_multiplications(model, weight) for weight in weights))

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

    def pass_samples(self, layers: int) -> int:
        """Samples to cluster layers in order on, for each of which half of two models is run; 0 if too few can be.

        Some of the layers would not do: they make up for little, and for that mostly on the samples seen.
        """
        samples = _FOR_PASS / self.per_run / max(layers, 1)
        return _within(_PASS_SAMPLES, samples) if samples >= _PASS_SAMPLES[0] else 0


def _multiplications(model: Model, weight: Weight) -> int:
    """Of each element by all that one run gives it."""
    users = [user for user in weight.users if user.operator.name in MATRIX_OPERATORS and user.operator.outputs]
    return prod(weight.tensor.shape) * sum(_places(model, user) for user in users)


def _places(model: Model, user: User) -> int:
    """How many rows of multiplications one run takes, in those that run in the same time with fast kernels."""
    operator = user.operator
    tensors = model.subgraphs[operator.subgraph].tensors
    output = tensors[operator.outputs[0]]
    goes_by_input = operator.name == "TRANSPOSE_CONV" and len(operator.inputs) > 2  # a crafted file may have fewer
    source = tensors[operator.inputs[2]] if goes_by_input else output
    return prod(map(abs, source.shape[:-1])) * (_WITH_INT16 if output.type == "INT16" else 1)


def _within(limits: tuple[int, int], value: float) -> int:
    return int(min(max(value, limits[0]), limits[1]))
