"""The inputs of the gates of recurrent layers, against networks written out step by step, and what it is good for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from support.fixture_models import FOLDER
from support.tasks import task_of

from tflite_cluster.calibration.gather import Observer, probe_of
from tflite_cluster.calibration.moments import DriftedMoments, LayerInput, Probe, collect, observations
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.layer import Layer, Recurrence
from tflite_cluster.model.layers import find_layer, real_rows
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight
from tflite_cluster.samples.synthetic import gather_samples
from tflite_cluster.search.allocation import price_at_sqnr
from tflite_cluster.search.calibrated import CalibratedModel, calibrate
from tflite_cluster.search.curve import Curve
from tflite_cluster.search.job import Job

Floats: TypeAlias = np.ndarray
Matrices: TypeAlias = dict[int, Floats]
Cell: TypeAlias = Callable[[Matrices, int, Floats], Floats]

EVERYWHERE = 10**9
SAMPLES = 6


@dataclass(frozen=True)
class Network:
    """A fixture, its cell of each direction with its first operand and that which first meets the step before, and how
    far the interpreter may be from it: codes of eight bits in the state, or in the products.
    """

    name: str
    cell: Cell
    directions: tuple[tuple[int, int], ...]
    tolerance: float = 1e-5
    time_major: bool = False


def lstm(matrices: Matrices, first: int, x: Floats) -> Floats:
    """The input of the recurrent matrices: the output before each step, (steps, batch, outputs). Biases are zero."""
    steps, batch, _ = x.shape
    from_input, from_output = ([matrices[first + 4 * half + gate] for gate in range(4)] for half in range(2))
    projection = matrices.get(first + 15, np.eye(len(from_input[0])))
    output, state = np.zeros((batch, len(projection))), np.zeros((batch, len(from_input[0])))
    before = []
    for step in range(steps):
        before.append(output)
        i, f, c, o = (x[step] @ w.T + output @ r.T for w, r in zip(from_input, from_output, strict=True))
        state = sigmoid(f) * state + sigmoid(i) * np.tanh(c)
        output = (sigmoid(o) * np.tanh(state)) @ projection.T
    return np.stack(before)


def rnn(matrices: Matrices, first: int, x: Floats) -> Floats:
    """The same for a plain recurrent layer."""
    before = [np.zeros((x.shape[1], len(matrices[first])))]
    for step in x[:-1]:
        before.append(np.tanh(step @ matrices[first].T + before[-1] @ matrices[first + 1].T))
    return np.stack(before)


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


NETWORKS = [
    Network("unidirectional_sequence_lstm_float32", lstm, ((1, 5),)),
    Network("unidirectional_sequence_lstm_hybrid_int8", lstm, ((1, 5),), 0.03),
    Network("unidirectional_sequence_lstm_int8", lstm, ((1, 5),), 0.03),
    Network("unidirectional_sequence_lstm_projection_float32", lstm, ((1, 5),), time_major=True),
    Network("bidirectional_sequence_lstm_float32", lstm, ((1, 5), (18, 22))),
    Network("unidirectional_sequence_rnn_float32", rnn, ((1, 2),)),
    Network("bidirectional_sequence_rnn_float32", rnn, ((1, 2), (5, 6))),
]


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


@pytest.fixture(params=NETWORKS, ids=lambda network: network.name)
def network(request: pytest.FixtureRequest) -> Network:
    found: Network = request.param
    return found


def parts_of(network: Network) -> tuple[Model, dict[int, Weight]]:
    """The model, and its weights by operand."""
    model = open_model(FOLDER / f"{network.name}.tflite")
    return model, {weight.users[0].operand: weight for weight in select(model)[0]}


def layers_of(model: Model, weights: dict[int, Weight]) -> dict[int, Layer]:
    found = ((operand, find_layer(model, weight)) for operand, weight in weights.items())
    return {operand: layer for operand, layer in found if layer is not None}


def layer_input_of(model: Model, layer: Layer) -> LayerInput:
    probe = probe_of(model.subgraphs[0].tensors[layer.input])
    return LayerInput(probe, layer.kind, 1, layer.columns, None, 1, 1, layer.recurrence)


def batch_of(network: Network) -> tuple[str | None, dict[str, Floats], Floats]:
    """The only signature's key, samples as it takes them, and their real values (samples, steps, batch, features)."""
    interface = OpenModel(FOLDER / f"{network.name}.tflite", Kernels.NO_DELEGATE, 1).interface()
    (signature,) = interface.signatures
    batch = gather_samples(interface, None, {}, SAMPLES, 3)[signature.key].batch(0, SAMPLES)
    (spec,), (given,) = signature.inputs, batch.values()
    real = spec.dequantise(given) if spec.quantised else given
    return signature.key, batch, real if network.time_major else np.swapaxes(real, 1, 2)


def foretold(network: Network, model: Model, weights: dict[int, Weight], x: Floats) -> dict[int, Floats]:
    """The layer input of each operand, (samples, places, columns), from the input and the weights alone."""
    matrices = {}
    for operand, weight in weights.items():
        matrix = real_rows(model, weight, weight.channels)
        assert matrix is not None
        matrices[operand] = matrix[:]
    met: dict[int, Floats] = {}
    for (first, recurrent), order in zip(network.directions, (1, -1), strict=False):
        before = np.stack([network.cell(matrices, first, sample[::order]) for sample in x])
        met |= dict.fromkeys(range(first, recurrent), x.reshape(len(x), -1, x.shape[-1]))
        met |= dict.fromkeys(range(recurrent, 2 * recurrent - first), before.reshape(len(x), -1, before.shape[-1]))
    return met


def test_gates_meet_what_the_network_step_by_step_gives_them(network: Network) -> None:
    model, weights = parts_of(network)
    key, batch, x = batch_of(network)
    expected = foretold(network, model, weights, x)
    layers = layers_of(model, weights)
    assert layers.keys() == expected.keys()
    runner = OpenModel(FOLDER / f"{network.name}.tflite", Kernels.NO_DELEGATE, 1, preserve_all_tensors=True)
    for sample in range(SAMPLES):
        runner.run(key, {name: values[sample] for name, values in batch.items()})
        for operand, layer in layers.items():
            layer_input = layer_input_of(model, layer)
            seen = observations(layer_input, layer_input.probe.read(runner), EVERYWHERE, np.random.default_rng(0))[:, 0]
            np.testing.assert_allclose(seen, expected[operand][sample], rtol=1e-4, atol=network.tolerance)


def test_moments_are_those_of_the_network_step_by_step(network: Network, process: InterpreterProcess) -> None:
    model, weights = parts_of(network)
    key, batch, x = batch_of(network)
    layers = layers_of(model, weights)
    layer_inputs = [layer_input_of(model, layer) for layer in layers.values()]
    found = process.call(
        collect, FOLDER / f"{network.name}.tflite", key, batch, layer_inputs, EVERYWHERE, [0], Kernels.DEFAULT, 1
    )
    expected = foretold(network, model, weights, x)
    for operand, moments in zip(layers, found, strict=True):
        met = expected[operand].reshape(-1, layers[operand].columns)
        power = np.trace(met.T @ met) / met.size
        assert moments.count == len(met)
        atol = network.tolerance * (1 + np.sqrt(power))
        np.testing.assert_allclose(moments.hessian[0], met.T @ met / len(met), rtol=1e-3, atol=atol)
        np.testing.assert_allclose(moments.mean[0], met.mean(0), rtol=1e-3, atol=atol)


@pytest.mark.parametrize(
    "wrong", [Recurrence(1, True, 0), Recurrence(1, False, 24), Recurrence(0, False, 0)], ids=["way", "half", "axis"]
)
def test_a_wrong_step_would_be_noticed(wrong: Recurrence, process: InterpreterProcess) -> None:
    """The comparison above is no tautology: the output told otherwise is something else."""
    network = next(network for network in NETWORKS if network.name.startswith("bidirectional_sequence_lstm"))
    model, weights = parts_of(network)
    key, batch, _ = batch_of(network)
    layer = layers_of(model, weights)[5]
    layer_inputs = [layer_input_of(model, replace(layer, recurrence=each)) for each in (layer.recurrence, wrong)]
    path = FOLDER / f"{network.name}.tflite"
    right, other = process.call(collect, path, key, batch, layer_inputs, EVERYWHERE, [0], Kernels.DEFAULT, 1)
    assert np.abs(right.hessian - other.hessian).max() > 100 * network.tolerance


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("time", [0, 1])
@pytest.mark.parametrize("parts", [1, 3])
def test_each_sequence_of_a_batch_begins_with_nothing(time: int, backward: bool, parts: int) -> None:
    steps, batch, width, start = 4, 3, 6, 2
    output = np.random.default_rng(0).standard_normal((steps, batch, width + start)).astype(np.float32)
    expected = []
    for step in range(steps):
        earlier = step + 1 if backward else step - 1
        expected += [output[earlier, b, start:] if 0 <= earlier < steps else np.zeros(width) for b in range(batch)]
    recurrence = Recurrence(time, backward, start)
    layer_input = LayerInput(Probe(0, 0), "steps", parts, width // parts, None, 1, 1, recurrence)
    seen = observations(layer_input, np.moveaxis(output, 0, time), EVERYWHERE, np.random.default_rng(0))
    assert seen.shape == (steps * batch, parts, width // parts)
    rows = seen.reshape(-1, width)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], np.array(expected)[np.lexsort(np.transpose(expected))])


# What it is good for: the models run in the interpreter, with as many values in every tensor.


@pytest.fixture
def calibrated(network: Network, process: InterpreterProcess, tmp_path: Path) -> Iterator[CalibratedModel]:
    path = FOLDER / f"{network.name}.tflite"
    model = open_model(path)
    samples = gather_samples(process.call(describe, path), None, {}, 150, 0)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        yield calibrate(task_of(model, path, copy), process, samples)


def with_feedback(job: Job) -> Job:
    return job


def without_feedback(job: Job) -> Job:
    return replace(job, matrix=replace(job.matrix, feedback=None))


def sqnr(calibrated: CalibratedModel, change: Callable[[Job], Job]) -> float:
    """dB of the outputs on samples that calibration has not seen, in the mean over some numbers of values."""
    found = []
    for count in (4, 8, 16):
        calibrated.clusterer.apply_count([replace(change(job), clusters=count) for job in calibrated.jobs.values()])
        calibrated.copy.flush()
        found.append(calibrated.judge.measure(calibrated.copy, calibrated.split.held_out).sqnr)
    return float(np.mean(found))


@pytest.mark.slow
def test_feedback_lowers_the_error_of_the_output(calibrated: CalibratedModel) -> None:
    assert sqnr(calibrated, with_feedback) > sqnr(calibrated, without_feedback) + 0.25


def test_feedback_lowers_the_error_that_recurrent_matrices_make_in_what_they_meet(calibrated: CalibratedModel) -> None:
    layers = {
        number: layer for number, job in calibrated.jobs.items() if (layer := job.layer) and layer.kind == "steps"
    }
    moments = calibrated.observer.moments(
        {number: [layer] for number, layer in layers.items()}, lambda _done, _total: None
    )
    assert moments.keys() == layers.keys() != set()
    for number, each in moments.items():
        job = replace(calibrated.jobs[number], clusters=8)
        priced = calibrated.clusterer.apply_count([with_feedback(job), without_feedback(job)])
        errors = [job.matrix.codes.astype(np.float64) - found.codes for found in priced]
        squares = [np.einsum("rn,nm,rm->", error, each.hessian[0], error) for error in errors]
        assert squares[0] < squares[1]


@dataclass(frozen=True)
class Recorder(Observer):
    """An observer that tells which weights it was asked about together."""

    asked: list[list[Layer]] = field(default_factory=list)

    def drift(self, copy: Path, layers: Mapping[int, Layer], most: int) -> dict[int, DriftedMoments]:
        self.asked.append(list(layers.values()))
        return super().drift(copy, layers, most)


@pytest.mark.slow
def test_gates_that_meet_the_same_tensor_follow_its_drift_together(calibrated: CalibratedModel) -> None:
    recorder = Recorder(**vars(calibrated.observer))
    prices = {number: price_at_sqnr(job, 14.0) for number, job in calibrated.jobs.items()}
    curve = Curve(replace(calibrated, observer=recorder), prices)
    at_once, in_order = curve.evaluate(1.0), curve.evaluate_in_order(1.0)
    assert in_order.quality.sqnr > at_once.quality.sqnr - 0.1
    assert in_order.bits == pytest.approx(at_once.bits, abs=0.1)
    recurrent = [job.layer for job in calibrated.jobs.values() if job.layer is not None and job.layer.kind == "steps"]
    assert sorted(layer.input for layers in recorder.asked for layer in layers) == sorted(
        layer.input for layer in recurrent
    )
    tensors = [{layer.input for layer in layers} for layers in recorder.asked]
    assert len(tensors) == len(set.union(*tensors)), "the operator's own input does not drift"
