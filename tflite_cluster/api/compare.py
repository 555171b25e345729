"""Two models on the same samples: how far their outputs agree, and where on the way they part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ..calibration.gather import batches, probe_of
from ..calibration.moments import Probe, observe
from ..config import Config, Settings
from ..errors import ConfigError, InterpreterFailure
from ..fidelity.sums import CentredSums
from ..fidelity.verdict import Fidelity
from ..files import as_file
from ..interpreter.runtime import Kernels
from ..model.analysis import analyse
from ..model.read import Model, Operator, Subgraph, open_model
from ..progress import Progress, no_progress
from ..run.final_check import check
from ..run.session import Session, open_session
from ..samples.samples import Samples

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SAMPLES: Final = 16
"""Samples on which the layers are compared; the outputs are compared on all."""

_REAL: Final = frozenset({"FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16"})


_WITHOUT_EFFECT: Final = (
    *("clusters", "granularity", "store", "keep", "rules", "chosen", "max_size", "coder"),
    *("benchmark", "effort", "force", "measure", "coders"),
)
"""Settings of clustering and writing; a comparison does neither."""


@dataclass(frozen=True)
class LayerComparison:
    """The first output of one operator in both models."""

    signature: str | None
    """The signature that runs it; None in a model without signatures."""
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

    first, second: .tflite files, or their content. settings: the fields of Config that say which samples to run on,
    what must hold, and how much the work may take; gates are judged, in `fidelity`. Layers are compared where both
    models have an output of the same name. Raises ConfigError, ModelError and DataError.
    """
    config = Config.of(settings)
    _refuse_what_is_not_compared(config)
    with as_file(first) as one, as_file(second) as other:
        model = open_model(first if isinstance(first, bytes) else one)
        changed = open_model(second if isinstance(second, bytes) else other)
        layers: list[LayerComparison] = []
        notes: list[str] = []
        with open_session(analyse(model), one, config) as session:
            fidelity = check(model, session, one, other, config, progress)
            if isinstance(session, Session):
                notes += [f"signature '{key}' cannot be run: {cause}" for key, cause in session.not_run.items()]
            if isinstance(session, Session) and fidelity.status == "checked":
                for key, samples in session.samples.items():
                    pairs = list(_pairs(model.subgraph_of(key), changed.subgraph_of(key)))
                    notes += _missing(model, changed, key, len(pairs))
                    try:
                        sqnr = _compared(session, (one, other), key, samples, pairs, config.threads)
                    except InterpreterFailure as failure:  # preserving all tensors can take more memory than there is
                        notes.append(f"{_place(model, key)}the layers cannot be read: {failure.cause}")
                    else:
                        layers += _layers(model.subgraph_of(key), key, sqnr)
    return Comparison(model.label, changed.label, fidelity, tuple(layers), tuple(notes))


def _refuse_what_is_not_compared(config: Config) -> None:
    config.refuse(_WITHOUT_EFFECT, "a comparison neither clusters nor writes")
    for name in ("check", "run"):
        if not getattr(config, name):
            raise ConfigError(f"a comparison needs the models to be run: <+{name}>")


def _outputs(subgraph: Subgraph) -> dict[tuple[str, int], int]:
    """The tensors that the layers give: what comes first of each operator that depends on the inputs of the graph.

    By name, and how many before have the same one.
    """
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], int] = {}
    varying = set(subgraph.inputs)
    for operator in subgraph.operators:
        if not varying.isdisjoint(operator.inputs):
            varying.update(index for index in operator.outputs if index >= 0)
        if operator.outputs and operator.outputs[0] >= 0 and operator.outputs[0] in varying:
            tensor = subgraph.tensors[operator.outputs[0]]
            if tensor.type in _REAL:
                found[tensor.name, seen[tensor.name]] = tensor.index
                seen[tensor.name] += 1
    return found


def _pairs(one: Subgraph, other: Subgraph) -> Iterator[tuple[Probe, Probe]]:
    """How to read the outputs that both have, in the order in which the first runs them."""
    counterparts = _outputs(other)
    for name, index in _outputs(one).items():
        if name in counterparts:
            before, after = one.tensors[index], other.tensors[counterparts[name]]
            if before.shape == after.shape:
                yield probe_of(before), probe_of(after)


def _missing(model: Model, changed: Model, key: str | None, found: int) -> list[str]:
    """Notes on layers whose output only the first model has, or on a model that has no layer to compare."""
    count = len(_outputs(model.subgraph_of(key)))
    if not count:
        return [f"{_place(model, key)}there is no layer whose output could be read as numbers"]
    if found == count:
        return []
    lacking = "no layer" if not found else f"only {found} of {count} layers"
    has = "have" if found > 1 else "has"
    return [f"{_place(model, key)}{lacking} {has} an output of the same name and shape in {changed.label}"]


def _place(model: Model, key: str | None) -> str:
    """The signature, where there are several, to begin a sentence with."""
    return f"signature '{key}': " if len(model.signatures) > 1 else ""


def _compared(
    session: Session,
    paths: tuple[Path, Path],
    key: str | None,
    samples: Samples,
    pairs: list[tuple[Probe, Probe]],
    threads: int,
) -> dict[int, float]:
    """SQNR in dB by tensor of the first model, about the mean over the samples.

    Raises InterpreterFailure if tensors cannot be read.
    """
    sums: dict[int, CentredSums] = {}
    for index in range(min(samples.count, _SAMPLES) if pairs else 0):
        for batch in batches(samples, np.array([index])):
            before, after = (
                session.process.call(observe, path, key, batch, probes, Kernels.DEFAULT, threads)[0]
                for path, probes in zip(paths, zip(*pairs, strict=True), strict=True)
            )
            for (probe, _), x, y in zip(pairs, before, after, strict=True):
                if x.shape == y.shape:
                    same = (x == y) | (np.isnan(x) & np.isnan(y))
                    changed = np.where(same, x, y).astype(np.float64)
                    found = sums.setdefault(probe.tensor, CentredSums(x.size))
                    if found.elements == x.size:
                        found.add(x[None].astype(np.float64), changed[None], np.isfinite(x)[None])
    return {tensor: found.total.sqnr_db for tensor, found in sums.items()}


def _layers(subgraph: Subgraph, key: str | None, sqnr: dict[int, float]) -> Iterator[LayerComparison]:
    for operator in subgraph.operators:
        if operator.outputs and operator.outputs[0] in sqnr:
            yield _layer(operator, key, subgraph.tensors[operator.outputs[0]].name, sqnr)


def _layer(operator: Operator, key: str | None, tensor: str, sqnr: dict[int, float]) -> LayerComparison:
    own = sqnr[operator.outputs[0]]
    inputs = max((_percent(sqnr[index]) for index in operator.inputs if index in sqnr), default=0.0)
    return LayerComparison(key, operator.name, tensor, own, _percent(own) - inputs)


def _percent(sqnr: float) -> float:
    """Error relative to the signal; one without any signal counts as all wrong."""
    return 100.0 if sqnr == -math.inf else 100 * 10 ** (-sqnr / 10)
