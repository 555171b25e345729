"""What a model is worth: cheap ones get more samples, and those with slow kernels fewer."""

from __future__ import annotations

import pytest
from fixture_models import FOLDER

from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.search.effort import Effort


def effort(name: str) -> Effort:
    model = open_model(FOLDER / f"{name}.tflite")
    pairs = ((weight, find_layer(model, weight)) for weight in select(model)[0])
    return Effort.of(model, [(weight, layer) for weight, layer in pairs if layer is not None])


def test_a_run_takes_what_its_weights_take_at_all_places() -> None:
    (convolution,) = select(open_model(FOLDER / "conv_2d_float32.tflite"))[0]
    assert effort("conv_2d_float32").per_run - effort("fully_connected_float32").per_run == pytest.approx(
        convolution.count * 8 * 8 - 48 * 32
    )


def test_int16_activations_have_slow_kernels() -> None:
    multiplications = 3 * 3 * 8 * 16 * 8 * 8
    assert effort("conv_2d_float32").per_run < 10 * multiplications < effort("conv_2d_int16x8").per_run


@pytest.mark.parametrize("per_run", [1, 10**6, 10**9, 10**15])
def test_dear_models_get_fewer_samples_but_some(per_run: int) -> None:
    cheap, dear = Effort(per_run), Effort(10 * per_run)
    assert 8 <= dear.sensitivity_samples(30) <= cheap.sensitivity_samples(30) <= 200
    assert 16 <= dear.gradient_samples <= cheap.gradient_samples <= 160
    assert 300 <= dear.samples <= cheap.samples <= 1000
    assert cheap.allows_passes(10, 100) or not dear.allows_passes(10, 100)
