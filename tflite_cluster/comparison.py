"""Two models of the same graph on the same samples: how far their outputs agree, and where on the way they part."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from .calibration.gather import batches, probe_of
from .calibration.moments import observe
from .config import Config, Settings
from .errors import InterpreterFailure
from .fidelity.verdict import Fidelity
from .files import as_file
from .interpreter.runtime import Kernels
from .jobs import Progress, no_progress
from .model.read import Model, Operator, Subgraph, Tensor, open_model
from .session import Session, open_session
from .verification import check

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SAMPLES: Final = 16
"""Samples on which the layers are compared; the outputs are compared on all."""

_REAL: Final = frozenset({"FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16"})


@dataclass(frozen=True)
class LayerComparison:
    """The first output of one operator in both models."""

    operator: str
    tensor: str
    sqnr: float
    """In dB; infinite if nothing differs."""
    added: float
    """Squared error relative to the signal, in percent, beyond that of the worst input: what this operator adds."""


@dataclass(frozen=True)
class Comparison:
    """The verdict on the outputs, and the layers in the order in which they are run."""

    first: str
    second: str
    fidelity: Fidelity
    layers: tuple[LayerComparison, ...]

    @property
    def worst(self) -> LayerComparison | None:
        """The layer where the error grows most; None if it grows nowhere."""
        return max((layer for layer in self.layers if layer.added > 0), key=lambda layer: layer.added, default=None)


def compare(
    first: str | Path | bytes,
    second: str | Path | bytes,
    *,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Comparison:
    """Run both models on the same samples and compare what they compute; nothing is written.

    first, second: .tflite files, or their content. settings: the fields of Config; gates are judged, in `fidelity`.
    Layers are compared where both models have the same tensors. Raises ConfigError, ModelError and DataError.
    """
    config = Config(**settings)
    with as_file(first) as one, as_file(second) as other:
        model = open_model(first if isinstance(first, bytes) else one)
        changed = open_model(second if isinstance(second, bytes) else other)
        with open_session(model, one, config) as session:
            fidelity = check(session, one, other, config, progress)
            layers: list[LayerComparison] = []
            if isinstance(session, Session) and fidelity.status == "checked":
                try:
                    layers = _layers(session, model, changed, (one, other), config.threads)
                except InterpreterFailure:
                    layers = []  # preserving all tensors can take more memory than there is
    return Comparison(model.label, changed.label, fidelity, tuple(layers))


def _layers(
    session: Session, model: Model, changed: Model, paths: tuple[Path, Path], threads: int
) -> list[LayerComparison]:
    found: list[LayerComparison] = []
    for key, samples in session.samples.items():
        number = model.signatures[key].subgraph if key in model.signatures else 0
        subgraph = model.subgraphs[number]
        if number >= len(changed.subgraphs) or not _alike(subgraph, changed.subgraphs[number]):
            continue
        tensors = [
            subgraph.tensors[operator.outputs[0]]
            for operator in subgraph.operators
            if operator.outputs and subgraph.tensors[operator.outputs[0]].type in _REAL
        ]
        probes = [probe_of(tensor) for tensor in tensors]
        signal: dict[int, float] = defaultdict(float)
        error: dict[int, float] = defaultdict(float)
        for index in range(min(samples.count, _SAMPLES)):
            for batch in batches(samples, np.array([index])):
                before, after = (
                    session.process.call(observe, path, key, batch, probes, Kernels.DEFAULT, threads)[0]
                    for path in paths
                )
                for tensor, x, y in zip(tensors, before, after, strict=True):
                    if x.shape == y.shape:
                        signal[tensor.index] += float(np.sum(np.square(x, dtype=np.float64)))
                        error[tensor.index] += float(np.sum(np.square(x - y, dtype=np.float64)))
        sqnr = {index: _decibels(signal[index], error[index]) for index in signal}
        found += [_layer(operator, subgraph.tensors, sqnr) for operator in subgraph.operators
                  if operator.outputs and operator.outputs[0] in sqnr]  # fmt: skip
    return found


def _layer(operator: Operator, tensors: tuple[Tensor, ...], sqnr: dict[int, float]) -> LayerComparison:
    output = operator.outputs[0]
    inputs = max((_percent(sqnr[index]) for index in operator.inputs if index in sqnr), default=0.0)
    return LayerComparison(operator.name, tensors[output].name, sqnr[output], _percent(sqnr[output]) - inputs)


def _percent(sqnr: float) -> float:
    """Error relative to the signal; one without any signal counts as all wrong."""
    return 100.0 if sqnr == -math.inf else 100 * 10 ** (-sqnr / 10)


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal > 0 else -math.inf


def _alike(one: Subgraph, other: Subgraph) -> bool:
    """Whether both hold the same tensors and the same operators, whatever the constants hold."""
    return [(tensor.name, tensor.shape, tensor.type) for tensor in one.tensors] == [
        (tensor.name, tensor.shape, tensor.type) for tensor in other.tensors
    ] and [(op.name, op.inputs, op.outputs) for op in one.operators] == [
        (op.name, op.inputs, op.outputs) for op in other.operators
    ]
