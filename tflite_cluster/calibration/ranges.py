"""The likeliest range of a real input where the graph does not give it: the first layers behave as if trained on it.

Batch normalisation, folded or not, and the usual initialisations leave pre-activations with deviations of order one on
the data that a model was made for, whatever its units, and with means that are small beside them: a wrong scale shows
in the deviations, a wrong offset in the means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from ..samples.synthetic import InputHint, synthetic_samples
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
    """The likeliest range of a signature's only real input; nothing if it has several, or if no range can be found.

    hints: ranges that the graph gives, which are candidates too. kernels: those that run the model.
    """
    real = [spec for spec in signature.inputs if spec.quantised or spec.dtype.kind == "f"]
    model = analysis.model
    weights = _first_weights(analysis, model.subgraph_of(signature.key).index)
    if len(real) != 1 or not weights:
        return {}
    uses = {number: [layer] for number, (_, layer) in weights.items()}
    scores: dict[InputHint, float] = {}
    observability = {signature.key: Observability(kernels, layers=kernels)}
    for candidate in _candidates(real[0], hints.get(real[0].name)):
        samples = synthetic_samples(signature, {**hints, real[0].name: candidate}, _SAMPLES, seed=0)
        chosen = {signature.key: np.arange(samples.count)}
        observer = Observer(process, model, path, {signature.key: samples}, chosen, threads, observability)
        moments = observer.moments(uses, _ignore)
        scores[candidate] = _implausibility(model, weights, moments)
    best = min(scores, key=lambda candidate: scores[candidate])
    return {real[0].name: best} if math.isfinite(scores[best]) else {}


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


def _implausibility(model: Model, weights: Mapping[int, tuple[Weight, Layer]], moments: Mapping[int, Moments]) -> float:
    """How far pre-activations are from what training leaves, in octaves, in the mean over layers.

    Octaves above the usual count twice, because activations that saturate, such as RELU6, hide most of them from the
    layers behind. If they counted once, MobileNetV2 would score 1.6 for inputs from 0 to 255, and 1.9 for the range
    from -2.2 to 2.6 that it was trained on. The wrong range would then look likelier.
    """
    scores: list[float] = []
    for number, (weight, layer) in weights.items():
        matrix = real_rows(model, weight, layer.rows)
        if matrix is None or number not in moments:
            continue
        spread, mean = _outputs(matrix, moments[number])
        if layer.bias is not None:
            mean = mean + real_bias(model, layer.bias)
        alive = spread > _DEAD * spread.max()
        if alive.any():
            typical = float(np.median(spread[alive]))
            offset = float(np.median(np.abs(mean[alive]) / spread[alive]))
            octaves = math.log2(typical)
            scores.append(max(2 * octaves, -octaves) + 0.5 * math.log2(1 + offset))
    return float(np.mean(scores)) if scores else math.inf


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
