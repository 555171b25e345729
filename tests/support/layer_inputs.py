"""What a layer reads of a model, as the calibration describes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tflite_cluster.calibration.gather import probe_of
from tflite_cluster.calibration.moments import LayerInput, Probe, observations
from tflite_cluster.model.layer import Layer
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight

EVERYWHERE = 10**9
PROBE = Probe(0, 0)

Floats = np.ndarray


def see(layer_input: LayerInput, activation: Floats, most: int = EVERYWHERE, seed: int = 0) -> Floats:
    return observations(layer_input, activation, most, np.random.default_rng(seed))


def parts_of(path: Path) -> tuple[Model, Weight, Layer]:
    model = open_model(path)
    weight = max(select(model)[0], key=lambda weight: weight.count)
    layer = find_layer(model, weight)
    assert layer is not None
    return model, weight, layer


def layer_input_of(model: Model, layer: Layer) -> LayerInput:
    parts = layer.rows.groups if layer.kind == "depthwise" else layer.groups
    probe = probe_of(model.subgraphs[layer.operator.subgraph].tensors[layer.input])
    return LayerInput(probe, layer.kind, parts, layer.columns, layer.window, layer.groups, layer.multiplier)
