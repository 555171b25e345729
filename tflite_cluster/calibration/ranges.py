"""The likeliest range and kind of a real input: the first layers behave as if they had been trained on it.

Batch normalisation, folded or not, and the usual initialisations leave pre-activations with deviations of order one on
the data that a model was made for, whatever its units, and with means that are small beside them: a wrong scale shows
in the deviations, a wrong offset in the means.

A wrong kind of input makes the deviations differ more from channel to channel. On three keyword spotters, these
differences are 0.17, 0.15 and 0.17 octaves on real samples, 0.21, 0.29 and 0.24 on made-up cepstra, and 0.36, 0.53 and
0.44 on smooth noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..interpreter.interface import Signature, TensorSpec
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.analysis import Analysis
from ..model.layer import Layer
from ..model.layers import real_bias, real_rows
from ..model.read import Model
from ..model.weight import Weight
from ..samples.hints import shape_read
from ..samples.samples import Samples
from ..samples.synthetic import InputHint, likely_cepstra, samples_in_ranges
from .gather import Observer
from .moments import Moments
from .observability import Observability

Array = npt.NDArray[np.float64]

_SAMPLES: Final = 6
_LAYERS: Final = 8
_SMALLEST_PICTURE: Final = 16
_DEAD: Final = 1e-6
_PICTURES: Final = (
    InputHint(-1.0, 1.0),
    InputHint(0.0, 1.0),
    InputHint(0.0, 255.0),
    InputHint(-128.0, 127.0),
    InputHint(-2.2, 2.6),
)
"""What preprocessing commonly makes of pixels."""

_SIGNALS: Final = tuple(InputHint(-(2.0**e), 2.0**e) for e in range(-4, 10))


def guess_range(
    process: InterpreterProcess,
    analysis: Analysis,
    path: Path,
    signature: Signature,
    hints: Mapping[str, InputHint],
    threads: int,
    kernels: Kernels = Kernels.DEFAULT,
) -> dict[str, InputHint]:
    """What a signature's only real input is likely to take; nothing if it has several, or if no range can be found.

    hints: ranges that the graph gives, which are candidates too. kernels: those that run the model.
    """
    real = [spec for spec in signature.inputs if spec.quantised or spec.dtype.kind == "f"]
    graph = analysis.model.subgraph_of(signature.key)
    weights = _first_weights(analysis, graph.index)
    if len(real) != 1 or not weights:
        return {}
    (spec,) = real
    layers = _FirstLayers(process, analysis.model, path, signature, hints, threads, kernels, weights)
    ranges = _candidates(spec, hints.get(spec.name))
    best = layers.best(spec.name, ranges)
    for cepstra in likely_cepstra(spec, shape_read(graph, spec.index)):
        other = layers.best(spec.name, [replace(each, cepstra=cepstra) for each in ranges])
        best = min(best, other, key=lambda each: each.differences)
    return {spec.name: best.hint} if math.isfinite(best.implausibility) else {}


@dataclass(frozen=True)
class _Candidate:
    """Inputs, and what the first layers make of them.

    implausibility: how far pre-activations are from what training leaves, in octaves. differences: how far their
    deviations differ from channel to channel, in octaves, in the mean over layers.
    """

    hint: InputHint
    implausibility: float
    differences: float


@dataclass(frozen=True)
class _FirstLayers:
    """Runs the first layers of a model on a few synthetic samples."""

    process: InterpreterProcess
    model: Model
    path: Path
    signature: Signature
    hints: Mapping[str, InputHint]
    threads: int
    kernels: Kernels
    weights: Mapping[int, tuple[Weight, Layer]]

    def best(self, name: str, hints: Sequence[InputHint]) -> _Candidate:
        """The likeliest of some ranges of an input, the first of those that are as likely."""
        made = samples_in_ranges(self.signature, name, hints, self.hints, _SAMPLES, seed=0)
        return min(map(self._candidate, hints, made), key=lambda each: each.implausibility)

    def _candidate(self, hint: InputHint, samples: Samples) -> _Candidate:
        key = self.signature.key
        chosen = {key: np.arange(samples.count)}
        observability = {key: Observability(self.kernels, layers=self.kernels)}
        observer = Observer(
            self.process, self.model, self.path, {key: samples}, chosen, self.threads, observability
        )  # fmt: skip
        moments = observer.moments({number: [layer] for number, (_, layer) in self.weights.items()}, _ignore)
        deviations = [
            each
            for number, (weight, layer) in self.weights.items()
            if number in moments and (each := _pre_activations(self.model, weight, layer, moments[number])) is not None
        ]
        if not deviations:
            return _Candidate(hint, math.inf, math.inf)
        return _Candidate(
            hint,
            float(np.mean([_implausibility(*each) for each in deviations])),
            float(np.mean([np.log2(spread).std() for spread, _ in deviations])),
        )


def _first_weights(analysis: Analysis, subgraph: int) -> dict[int, tuple[Weight, Layer]]:
    found = [(weight, analysis.layer(weight)) for weight in analysis.weights]
    layers = [(weight, layer) for weight, layer in found if layer and layer.operator.subgraph == subgraph]
    layers.sort(key=lambda pair: pair[1].operator.index)
    return dict(enumerate(layers[:_LAYERS]))


def _candidates(spec: TensorSpec, hint: InputHint | None) -> list[InputHint]:
    """Ranges worth a try, the one to fall back on first."""
    *_, height, width, channels = (0, 0, 0, *spec.shape)
    is_picture = channels in (1, 3, 4) and min(height, width) >= _SMALLEST_PICTURE
    if spec.quantised:
        limits = np.iinfo(spec.dtype)
        low, high = (float(spec.dequantise(np.array(code))) for code in (limits.min, limits.max))
        full = InputHint(low, high)
        return [full] if is_picture else [full, *(each for each in _SIGNALS if each.high <= max(high, -low))]
    known = [] if hint is None else [hint]
    return [*known, *(_PICTURES if is_picture else _SIGNALS)]


def _pre_activations(model: Model, weight: Weight, layer: Layer, moments: Moments) -> tuple[Array, Array] | None:
    """Deviation and mean of each channel that is not dead; None if that is none, or if scales change within a row."""
    matrix = real_rows(model, weight, layer.rows)
    if matrix is None:
        return None
    is_in_groups = len(moments.mean) > 1  # which are small, and have to stay together
    outputs = [_outputs(rows, moments) for rows in ([matrix[:]] if is_in_groups else matrix.blocks())]
    spread, mean = map(np.concatenate, zip(*outputs, strict=True))
    if layer.bias is not None:
        mean = mean + real_bias(model, layer.bias)
    alive = spread > _DEAD * spread.max()
    return (spread[alive], mean[alive]) if alive.any() else None


def _implausibility(spread: Array, mean: Array) -> float:
    """How far pre-activations are from what training leaves, in octaves.

    Octaves above the usual count twice, because activations that saturate, such as RELU6, hide most of them from the
    layers behind. If they counted once, MobileNetV2 would score 1.6 for inputs from 0 to 255, and 1.9 for the range
    from -2.2 to 2.6 that it was trained on. The wrong range would then look likelier.
    """
    octaves = math.log2(float(np.median(spread)))
    offset = float(np.median(np.abs(mean) / spread))
    return max(2 * octaves, -octaves) + 0.5 * math.log2(1 + offset)


def _outputs(matrix: Array, moments: Moments) -> tuple[Array, Array]:
    """Deviation and mean of each row's output, without bias."""
    rows, columns = matrix.shape
    parts, n = moments.mean.shape
    if n == columns:
        split = matrix.reshape(parts, rows // parts, n)
        squares = np.einsum("prn,prn->pr", split @ moments.covariance, split).reshape(-1)
        means = np.einsum("prn,pn->pr", split, moments.mean).reshape(-1)
    else:
        split = matrix.reshape(rows, parts, n).transpose(1, 0, 2)
        squares = np.einsum("prn,prn->r", split @ moments.covariance, split)
        means = np.einsum("prn,pn->r", split, moments.mean)
    return np.sqrt(np.maximum(squares, 0.0)), means


def _ignore(_done: int, _total: int) -> None:
    """Progress too quick to report."""
