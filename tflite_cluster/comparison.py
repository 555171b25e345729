"""Two models of the same graph on the same samples: how far their outputs agree, and where on the way they part."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from .calibration.gather import batches, probe_of
from .calibration.moments import observe
from .config import Config, Settings
from .errors import ConfigError, InterpreterFailure
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

_OF_CLUSTERING: Final = ("clusters", "granularity", "store", "keep", "rules", "chosen", "max_size", "benchmark")

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
    notes: tuple[str, ...] = ()
    """Why layers are missing, in words."""

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
    Layers are compared where both models have an output of the same name and shape. Raises ConfigError, also on
    settings of clustering, ModelError and DataError.
    """
    config = Config(**settings)
    for name in _OF_CLUSTERING:
        if getattr(config, name) != getattr(Config, name):
            raise ConfigError(f"{name} is about clustering, and comparing changes nothing: leave it out")
    with as_file(first) as one, as_file(second) as other:
        model = open_model(first if isinstance(first, bytes) else one)
        changed = open_model(second if isinstance(second, bytes) else other)
        with open_session(model, one, config) as session:
            fidelity = check(session, one, other, config, progress)
            layers, notes = list[LayerComparison](), list[str]()
            if isinstance(session, Session) and fidelity.status == "checked":
                for key in session.samples:
                    try:
                        layers += _layers(session, key, (model, changed), (one, other), config.threads)
                    except _NoLayers as why:
                        notes.append(f"{_of(key)}no layers are compared: {why}")
                    except InterpreterFailure as failure:  # to keep all tensors takes more memory than to run
                        notes.append(f"{_of(key)}the layers cannot be read: {failure.cause}")
    return Comparison(model.label, changed.label, fidelity, tuple(layers), tuple(notes))


def _of(key: str | None) -> str:
    return "" if key is None else f"{key}: "


class _NoLayers(Exception):
    """Why there are no layers to compare, in words."""


def _layers(
    session: Session, key: str | None, models: tuple[Model, Model], paths: tuple[Path, Path], threads: int
) -> list[LayerComparison]:
    """The layers of one signature; raises _NoLayers if the models have none in common."""
    one, other = (_subgraph(model, key) for model in models)
    operators = [operator for operator in one.operators if operator.outputs]
    pairs = {number: pair for number, pair in enumerate(_pairs(operators, one, other)) if pair is not None}
    if not pairs:
        raise _NoLayers("no operator's output has the same name and shape in both models")
    probes = [[probe_of(pair[side]) for pair in pairs.values()] for side in (0, 1)]
    samples = session.samples[key]
    signal: dict[int, float] = defaultdict(float)
    error: dict[int, float] = defaultdict(float)
    for index in range(min(samples.count, _SAMPLES)):
        for batch in batches(samples, np.array([index])):
            before, after = (
                session.process.call(observe, path, key, batch, each, Kernels.DEFAULT, threads)[0]
                for path, each in zip(paths, probes, strict=True)
            )
            for number, x, y in zip(pairs, before, after, strict=True):
                if x.shape == y.shape:
                    signal[number] += float(np.sum(np.square(x, dtype=np.float64)))
                    error[number] += float(np.sum(np.square(x - y, dtype=np.float64)))
    sqnr = {operators[number].outputs[0]: _decibels(signal[number], error[number]) for number in signal}
    return [_layer(operators[number], one.tensors, sqnr) for number in signal]


def _subgraph(model: Model, key: str | None) -> Subgraph:
    return model.subgraphs[model.signatures[key].subgraph if key in model.signatures else 0]


def _pairs(operators: list[Operator], one: Subgraph, other: Subgraph) -> Iterator[tuple[Tensor, Tensor] | None]:
    """For each operator its first output in both graphs, found by its name; None if there is no such pair."""
    counts = [Counter(tensor.name for tensor in graph.tensors) for graph in (one, other)]
    named = {tensor.name: tensor for tensor in other.tensors}
    for operator in operators:
        tensor = one.tensors[operator.outputs[0]]
        match = named.get(tensor.name)
        alone = all(count[tensor.name] == 1 for count in counts)
        fits = match is not None and alone and match.shape == tensor.shape and {tensor.type, match.type} <= _REAL
        yield (tensor, match) if fits and match is not None else None


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
