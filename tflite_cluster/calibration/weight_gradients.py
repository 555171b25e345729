"""How strongly errors of a weight act on the outputs, from the gradient of the weight that a run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..interpreter.runtime import OpenModel
from ..model.operators.windows import padded, tap
from .moments import Floats, LayerInput

_LEFT: Final = 2.0
"""How many columns' share of an error along the mean input is left by feedback. Feedback makes up for what earlier
columns do to the mean of the output, and the last ones have nothing behind them. Measured sensitivities of MobileNetV2,
ResNet8 and DS-CNN-L in float32 then scatter about the expected ones by 1.0, 0.5 and 2.4 dB (weighted by the number of
weights), with one share by 1.1, 0.7 and 2.4 dB, and by 3.8 dB on MobileNetV2 if nothing is taken off.
"""


@dataclass(frozen=True)
class WeightInput:
    """The input of a weight, and its mean over samples and places, (parts, columns).

    shifts: whether the layer's bias makes up for what errors do to the mean of its output.
    """

    layer: LayerInput
    mean: Floats
    shifts: bool


def effect(source: WeightInput, model: OpenModel, gradient: Floats) -> float:
    """Squared change of the output for errors of variance 1 in all elements of the weight, in the latest run.

    gradient: what comes back to the layer's output, of its shape. Errors are independent. Feedback removes most of
    their part along the mean input, and a bias that shifts removes all of it.
    """
    derivatives = _derivatives(source.layer, source.layer.probe.read(model), gradient)
    parts, rows, columns = derivatives.shape
    mean = source.mean.reshape(parts, columns).astype(np.float64)
    if source.shifts:
        total = gradient.reshape(-1, gradient.shape[-1]).sum(0).reshape(parts, rows, 1)
        return float(np.sum(np.square(derivatives - total * mean[:, None])))
    squares = np.einsum("pc,pc->p", mean, mean)
    along = np.square(np.einsum("prc,pc->pr", derivatives, mean)).sum(1)
    taken_off = np.divide(along, squares, out=np.zeros(parts), where=squares > 0) * max(1 - _LEFT / columns, 0.0)
    return max(float(np.sum(np.square(derivatives, dtype=np.float64)) - taken_off.sum()), 0.0)


def _derivatives(layer: LayerInput, values: Floats, gradient: Floats) -> Floats:
    """Those of the output by each element of the weight, (parts, rows, columns) with the columns of each part."""
    if layer.window is None:
        inputs = values.reshape(-1, layer.parts * layer.columns)
        return np.asarray((gradient.reshape(len(inputs), -1).T @ inputs)[None])
    images = padded(values, layer.window, 0.0)
    taps = [tap(images, layer.window, gradient.shape, *place) for place in np.ndindex(layer.window.kernel)]
    return np.concatenate([_of_tap(layer, each, gradient) for each in taps], axis=2)


def _of_tap(layer: LayerInput, values: Floats, gradient: Floats) -> Floats:
    """At one place of the window."""
    channels = values.shape[3]
    if layer.kind == "depthwise":
        by_channel = gradient.reshape(-1, channels, layer.multiplier)
        found = np.einsum("ncm,nc->cm", by_channel, values.reshape(-1, channels))
        return np.asarray(found.reshape(-1, 1, 1))
    before, after = (each.reshape(-1, layer.groups, each.shape[3] // layer.groups) for each in (values, gradient))
    return np.asarray(np.matmul(after.transpose(1, 2, 0), before.transpose(1, 0, 2)))
