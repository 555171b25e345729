"""Second moments of the inputs of layers, summed over samples in the interpreter's process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.fixture_models import FOLDER
from support.layer_inputs import EVERYWHERE, PROBE, layer_input_of, parts_of, see

from tflite_cluster.calibration.gather import Observer, probe_of
from tflite_cluster.calibration.moments import DriftedMoments, LayerInput, Moments, collect, observe
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.layer import Layer
from tflite_cluster.model.layers import find_layer, find_layers
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.samples.synthetic import gather_samples


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


def test_collected_sums_are_those_of_all_samples(process: InterpreterProcess) -> None:
    path = FOLDER / "conv_2d_int8.tflite"
    model, _, layer = parts_of(path)
    runner = OpenModel(path, Kernels.NO_DELEGATE, 1, preserve_all_tensors=True)
    signature = runner.interface().signatures[0]
    batch = gather_samples(runner.interface(), None, {}, 4, 0)[signature.key].batch(0, 4)
    layer_input = layer_input_of(model, layer)
    (moments,) = process.call(collect, path, signature.key, batch, [layer_input], EVERYWHERE, [0], Kernels.DEFAULT, 1)

    seen = []
    for sample in range(4):
        runner.run(signature.key, {name: values[sample] for name, values in batch.items()})
        seen.append(see(layer_input, layer_input.probe.read(runner))[:, 0].astype(np.float64))
    x = np.concatenate(seen)
    assert moments.count == len(x) == 4 * 64
    np.testing.assert_allclose(moments.mean[0], x.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.hessian[0], x.T @ x / len(x), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moments.covariance[0], np.cov(x.T, bias=True), rtol=1e-3, atol=1e-3)


def test_moments_add_up() -> None:
    layer_input = LayerInput(PROBE, "pixels", 2, 3, None, 1, 1)
    x = np.random.default_rng(0).standard_normal((10, 2, 3)).astype(np.float32)
    total = Moments.empty(layer_input.parts, layer_input.columns)
    for part in (x[:4], x[4:]):
        total.add(Moments(len(part), part.sum(0), np.einsum("ipn,ipm->pnm", part, part)))
    np.testing.assert_allclose(total.hessian, np.einsum("ipn,ipm->pnm", x, x) / 10, rtol=1e-5)
    np.testing.assert_allclose(total.mean, x.mean(0), rtol=1e-5)
    assert Moments.empty(layer_input.parts, layer_input.columns).hessian.sum() == 0


def test_constant_inputs_have_no_covariance() -> None:
    generator = np.random.default_rng(0)
    moments = Moments.empty(1, 6)
    for _ in range(100):
        x = generator.standard_normal((64, 1, 6)).astype(np.float32)
        x[..., :4] = [0.0, 0.1, -3.3, 77.7]
        moments.count_in(x)
    assert not moments.covariance[0, :4].any()
    assert not moments.covariance[0, :, :4].any()
    np.testing.assert_allclose(moments.covariance[0, 4:, 4:], np.eye(2), atol=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_moments_that_are_no_numbers_are_known(value: float) -> None:
    moments = Moments.empty(1, 3)
    assert moments.is_finite
    moments.count_in(np.array([[[0, value, 1]]], np.float32))
    assert not moments.is_finite


def test_observed_tensors_are_real_values(process: InterpreterProcess) -> None:
    path = FOLDER / "conv_2d_int8.tflite"
    model, _, layer = parts_of(path)
    interface = process.call(describe, path)
    key = interface.signatures[0].key
    batch = gather_samples(interface, None, {}, 2, 0)[key].batch(0, 2)
    tensors = model.subgraphs[0].tensors
    found = process.call(observe, path, key, batch, [probe_of(tensors[layer.input])], Kernels.DEFAULT, 1)
    spec = interface.signatures[0].inputs[0]
    (given,) = batch.values()
    for sample in range(2):
        np.testing.assert_allclose(found[sample][0], spec.dequantise(given[sample]).reshape(-1), rtol=1e-5)


def gathered(process: InterpreterProcess, name: str, count: int = 6) -> tuple[dict[int, Layer], dict[int, Moments]]:
    path = FOLDER / f"{name}.tflite"
    model = open_model(path)
    found = ((number, find_layer(model, weight)) for number, weight in enumerate(select(model)[0]))
    layers = {number: layer for number, layer in found if layer is not None}
    samples = gather_samples(process.call(describe, path), None, {}, count, 0)
    chosen = {key: np.arange(each.count) for key, each in samples.items()}
    told: list[tuple[int, int]] = []
    observer = Observer(process, model, path, samples, chosen, 1)
    moments = observer.moments(
        {number: [layer] for number, layer in layers.items()}, lambda done, total: told.append((done, total))
    )
    assert not told or told[-1][0] == told[-1][1]
    return layers, moments


def test_moments_of_every_layer_that_runs(process: InterpreterProcess) -> None:
    layers, moments = gathered(process, "two_signatures_float32")
    assert layers
    assert moments.keys() == layers.keys()
    assert all(each.count >= 6 for each in moments.values())
    assert all(np.all(np.linalg.eigvalsh(each.hessian) > -1e-4) for each in moments.values())


@pytest.mark.parametrize("name", ["gru_unrolled_float32", "shared_buffer_float32", "two_signatures_float32"])
def test_moments_of_a_weight_are_those_of_all_its_uses(process: InterpreterProcess, name: str) -> None:
    path = FOLDER / f"{name}.tflite"
    model = open_model(path)
    uses = {number: find_layers(model, weight) for number, weight in enumerate(select(model)[0])}
    samples = gather_samples(process.call(describe, path), None, {}, 6, 0)
    observer = Observer(process, model, path, samples, {key: np.arange(each.count) for key, each in samples.items()}, 1)
    moments = observer.moments(uses, lambda _done, _total: None)
    shared = [number for number, layers in uses.items() if len(layers) > 1]
    assert shared
    for number in shared:
        apart = [observer.moments({0: [layer]}, lambda _done, _total: None)[0] for layer in uses[number]]
        assert moments[number].count == sum(each.count for each in apart)
        np.testing.assert_allclose(moments[number].second, sum(each.second for each in apart), rtol=1e-5)
        np.testing.assert_allclose(moments[number].first, sum(each.first for each in apart), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["while_body_float32", "if_branches_float32", "gru_while_float32"])
def test_layers_inside_of_bodies_go_without(process: InterpreterProcess, name: str) -> None:
    layers, moments = gathered(process, name)
    assert layers
    assert not moments


@pytest.mark.parametrize("name", ["custom_operator_float32", "dequantize_bfloat16"])
def test_a_model_that_does_not_run_has_no_moments(process: InterpreterProcess, name: str) -> None:
    layers, moments = gathered(process, name)
    assert layers
    assert not moments


def test_nothing_drifts_in_an_identical_copy(process: InterpreterProcess) -> None:
    path = FOLDER / "two_signatures_float32.tflite"
    layers, moments = gathered(process, "two_signatures_float32")
    model = open_model(path)
    samples = gather_samples(process.call(describe, path), None, {}, 6, 0)
    observer = Observer(process, model, path, samples, {key: np.arange(each.count) for key, each in samples.items()}, 1)
    for number, layer in layers.items():
        (each,) = observer.drift(path, {number: layer}, observer.count).values()
        np.testing.assert_array_equal(each.second, moments[number].second)
        assert not each.cross.any()
        assert not each.mean_drift.any()


def test_sums_of_drift() -> None:
    generator = np.random.default_rng(0)
    x, drifted = generator.standard_normal((2, 50, 3, 4))
    layer_input = LayerInput(PROBE, "pixels", 3, 4, None, 1, 1)
    moments = DriftedMoments.empty(layer_input.parts, layer_input.columns)
    for part in (slice(0, 20), slice(20, 50)):
        other = DriftedMoments.empty(layer_input.parts, layer_input.columns)
        other.count = len(x[part])
        other.first += drifted[part].sum(0)
        other.second += np.einsum("spi,spj->pij", drifted[part], drifted[part])
        other.first_drift += (x - drifted)[part].sum(0)
        other.cross += np.einsum("spi,spj->pij", (x - drifted)[part], drifted[part])
        moments.add(other)
    cross = np.einsum("spi,spj->pij", x - drifted, drifted) / 50
    np.testing.assert_allclose(moments.mean_drift, (x - drifted).mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.cross_moment, cross, atol=1e-6)
    centred = np.einsum("spi,spj->pij", x - drifted, drifted - drifted.mean(0)) / 50
    np.testing.assert_allclose(moments.cross_covariance, centred, atol=1e-6)
