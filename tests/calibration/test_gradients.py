"""Gradients that are brought back from the outputs: against differences of what the interpreter computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.fixture_models import FOLDER
from support.operators import SOFTMAX, after_dense, two_dense

from tflite_cluster.calibration.gather import Observer, probe_of
from tflite_cluster.calibration.gradients import GradientSeed, GradientSums, collect_gradients
from tflite_cluster.calibration.moments import LayerInput, Moments, observe
from tflite_cluster.calibration.weight_gradients import WeightInput
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.layer import Layer
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.operators import BUILTIN
from tflite_cluster.model.outputs import outputs_of
from tflite_cluster.model.read import OPERATORS as OPERATOR_NAMES
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.tape import Tape, record
from tflite_cluster.samples.synthetic import gather_samples

Floats = np.ndarray
SEED = [7]
TWO_WAYS = FOLDER / "two_ways_float32.tflite"


def layers_of(model: Model) -> dict[int, Layer]:
    found = (find_layer(model, weight) for weight in select(model)[0])
    return {layer.output: layer for layer in found if layer is not None}


def taped(model: Model) -> tuple[Tape, list[GradientSeed]]:
    seeds = [GradientSeed(output.tensor, 1.0, scores=False) for output in outputs_of(model, None)]
    return record(model, 0, [seed.tensor.index for seed in seeds], layers_of(model).values()), seeds


def sample_of(model: Model, seed: int = 0) -> tuple[str | None, dict[str, np.ndarray]]:
    signature = (*model.signatures, None)[0]
    inputs = model.subgraphs[0].inputs
    tensor = model.subgraphs[0].tensors[inputs[0]]
    names = list(model.signatures[signature].tensors) if signature is not None else [tensor.name]
    values = np.random.default_rng(seed).standard_normal(tensor.shape, np.float32)
    if tensor.type == "INT8":
        assert tensor.quantization is not None
        codes = np.round(values / tensor.quantization.scale) + tensor.quantization.zero_point
        values = np.clip(codes, -128, 127).astype(np.int8)
    return signature, {names[0]: values}


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as started:
        yield started


def collected(
    process: InterpreterProcess,
    path: Path,
    batch: dict[str, npt.NDArray[Any]],
    seeds: Sequence[GradientSeed],
    tape: Tape,
    weights: Mapping[int, WeightInput] | None = None,
    random_seed: Sequence[int] = SEED,
) -> GradientSums:
    """What the child makes of a batch."""
    key, _ = sample_of(open_model(path))
    wanted = frozenset(tape.kept), weights or {}
    return process.call(collect_gradients, path, key, batch, seeds, tape, *wanted, random_seed, Kernels.DEFAULT, 1)


def gradients(process: InterpreterProcess, path: Path) -> dict[int, Moments]:
    """By the tensor that they come back to."""
    model = open_model(path)
    tape, seeds = taped(model)
    _key, sample = sample_of(model)
    batch = {name: values[None] for name, values in sample.items()}
    return collected(process, path, batch, seeds, tape).moments


def weighted_output(process: InterpreterProcess, data: bytes, folder: Path) -> float:
    """The random sum of the outputs that gradients are taken of."""
    path = folder / "changed.tflite"
    path.write_bytes(data)
    model = open_model(data)
    key, sample = sample_of(model)
    batch = {name: values[None] for name, values in sample.items()}
    probes = [probe_of(output.tensor) for output in outputs_of(model, None)]
    (values,) = process.call(observe, path, key, batch, probes, Kernels.DEFAULT, 1)
    generator = np.random.default_rng([*SEED, 0])
    return sum(float(generator.standard_normal(y.shape, np.float32) @ y.astype(np.float64)) for y in values)


def by_differences(process: InterpreterProcess, data: bytes, layer: Layer, folder: Path, step: float = 5e-4) -> Floats:
    """How the random sum follows each of a layer's biases."""
    assert layer.bias is not None  # its steps are so small because some values are close to a bend
    span, found = layer.bias.span, []
    for row in range(layer.rows.groups):
        sums = []
        for sign in (1, -1):
            bias = np.frombuffer(data[span.start : span.stop], np.float32).copy()
            bias[row] += sign * step
            sums.append(weighted_output(process, data[: span.start] + bias.tobytes() + data[span.stop :], folder))
        found.append((sums[0] - sums[1]) / (2 * step))
    return np.array(found)


def assert_follow_the_biases(process: InterpreterProcess, path: Path, folder: Path) -> None:
    data = path.read_bytes()
    layers = layers_of(open_model(data))
    for tensor, moments in gradients(process, path).items():
        expected = by_differences(process, data, layers[tensor], folder)
        np.testing.assert_allclose(moments.first[0], expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.slow
def test_all_layers_are_reached_through_sums_products_pools_and_activations(
    process: InterpreterProcess, tmp_path: Path
) -> None:
    model = open_model(TWO_WAYS)
    assert set(taped(model)[0].kept) == layers_of(model).keys()
    assert len(layers_of(model)) == 6
    assert_follow_the_biases(process, TWO_WAYS, tmp_path)


SLOPES = np.linspace(0.1, 0.8, 8)
OPERATORS = {
    "add": (0, (1, 8), SLOPES, (11, {})),
    "add and clamp": (0, (1, 8), SLOPES, (11, {"fused_activation_function": 3})),
    "add to more": (0, (3, 8), np.ones((3, 8)), (11, {})),
    "subtract and clamp": (41, (1, 8), SLOPES, (28, {"fused_activation_function": 2})),
    "expand": (70, (1, 1, 8), np.array(1, np.int32), None),
    "squeeze": (43, (8,), None, None),
    "mean": (40, (1,), np.array([-1], np.int32), None),
    "transpose": (39, (8, 1), np.array([-1, 0], np.int32), None),
    "relu": (19, (1, 8), None, None),
    "relu6": (21, (1, 8), None, None),
    "relu -1 to 1": (20, (1, 8), None, None),
    "prelu": (54, (1, 8), SLOPES, None),
    "leaky": (98, (1, 8), None, (75, {"alpha": int(np.float32(0.3).view(np.uint32))})),
    "tanh": (28, (1, 8), None, None),
    "logistic": (14, (1, 8), None, None),
    "hard swish": (117, (1, 8), None, None),
}


def test_every_way_back_is_compared_with_the_interpreter() -> None:
    """By a model of its own, or in the model whose layers are all followed; of codes in its int8 form."""
    alone = {OPERATOR_NAMES[code] for code, *_ in OPERATORS.values()}
    together = (
        taped(open_model(FOLDER / f"two_ways_{storage}.tflite"))[0] for storage in ("float32", "float16", "int8")
    )
    in_models = {"SOFTMAX", *(step.name for tape in together for step in tape.steps)}
    known = {name for name, record in BUILTIN.items() if record.gradient is not None}
    assert alone | in_models == known


@pytest.mark.parametrize("name", OPERATORS)
def test_one_operator(process: InterpreterProcess, name: str, tmp_path: Path) -> None:
    code, shape, constant, options = OPERATORS[name]
    path = tmp_path / "model.tflite"
    path.write_bytes(after_dense(code, shape, *([] if constant is None else [constant]), options=options))
    assert len(taped(open_model(path))[0].kept) == 1
    assert_follow_the_biases(process, path, tmp_path)


def test_a_softmax_between_layers(process: InterpreterProcess, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    generator = np.random.default_rng(0)
    first, second = ((generator.standard_normal((rows, 6)), np.zeros(rows)) for rows in (6, 4))
    path.write_bytes(two_dense(first, second, middle=SOFTMAX))
    assert len(taped(open_model(path))[0].kept) == 2
    assert_follow_the_biases(process, path, tmp_path)


def dense_gradients(process: InterpreterProcess, weight: float, scores: bool) -> Moments:
    """Those of a layer whose output is the model's: what gradients start with."""
    path = FOLDER / "fully_connected_hybrid_int8.tflite"
    model = open_model(path)
    tape, seeds = taped(model)
    _key, sample = sample_of(model)
    batch = {name: np.stack([values, values]) for name, values in sample.items()}
    seeds = [GradientSeed(seed.tensor, weight, scores) for seed in seeds]
    (found,) = collected(process, path, batch, seeds, tape).moments.values()
    return found


def test_outputs_count_by_their_weight(process: InterpreterProcess) -> None:
    once, twice = (dense_gradients(process, weight, scores=False) for weight in (1.0, 2.0))
    assert once.count == 2
    np.testing.assert_allclose(twice.second, 4 * once.second, rtol=1e-5)


def test_what_all_class_scores_have_in_common_does_not_count(tmp_path: Path, process: InterpreterProcess) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(after_dense(0, (1, 8), np.zeros(8), options=(11, {})))  # adds nothing
    model = open_model(path)
    tape, seeds = taped(model)
    _key, sample = sample_of(model)
    batch = {name: values[None] for name, values in sample.items()}
    for scores in (False, True):
        weighed = [GradientSeed(seed.tensor, 1.0, scores) for seed in seeds]
        (found,) = collected(process, path, batch, weighed, tape).moments.values()
        assert (abs(found.first.sum()) < 1e-5) == scores


def test_codes_have_the_gradients_of_the_values_that_they_stand_for(process: InterpreterProcess) -> None:
    """Rounding moves what passes a bend, but not much."""
    exact = list(gradients(process, TWO_WAYS).values())
    for storage, alike in (("float16", 0.99), ("int8", 0.9)):
        found = list(gradients(process, FOLDER / f"two_ways_{storage}.tflite").values())
        for one, other in zip(exact, found, strict=True):
            cosine = np.vdot(one.second, other.second) / np.linalg.norm(one.second) / np.linalg.norm(other.second)
            assert cosine > alike


@pytest.fixture
def observer(process: InterpreterProcess) -> Observer:
    model = open_model(TWO_WAYS)
    samples = gather_samples(process.call(describe, TWO_WAYS), None, {}, 12, 0)
    chosen = {key: np.arange(each.count) for key, each in samples.items()}
    return Observer(process, model, TWO_WAYS, samples, chosen, 1)


def test_gradients_are_gathered_where_all_rows_have_the_same_input(observer: Observer) -> None:
    layers = dict(enumerate(layers_of(observer.model).values()))
    seeds = {
        key: [GradientSeed(outputs_of(observer.model, key)[0].tensor, 1.0, scores=True)] for key in observer.samples
    }
    found = observer.gradients(layers, seeds, 5, {}, shifts_biases=False).moments
    assert {layers[number].operator.name for number in layers.keys() - found.keys()} == {"DEPTHWISE_CONV_2D"}
    for number, moments in found.items():
        output = observer.model.subgraphs[0].tensors[layers[number].output]
        assert moments.count == 5 * np.prod(output.shape[:-1])
        assert moments.second.shape == (1, layers[number].rows.groups, layers[number].rows.groups)


def test_gradients_that_are_no_numbers_are_left_out(observer: Observer) -> None:
    layers = dict(enumerate(layers_of(observer.model).values()))
    (seed,) = outputs_of(observer.model, None)
    seeds = {key: [GradientSeed(seed.tensor, np.inf, False)] for key in observer.samples}
    inputs = observer.moments({number: [layer] for number, layer in layers.items()}, lambda *_: None)
    found = observer.gradients(layers, seeds, 2, inputs, shifts_biases=True)
    assert not found.moments
    assert not found.effects


def test_a_graph_that_no_converter_makes_has_no_gradients(process: InterpreterProcess, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(after_dense(28, (1, 8)))
    model = open_model(path)
    tape, seeds = taped(model)
    first, *others = tape.steps
    broken = Tape((replace(first, name="MEAN"), *others))  # without the operand that names its axes
    _key, sample = sample_of(model)
    batch = {name: values[None] for name, values in sample.items()}
    with pytest.raises(InterpreterFailure, match="no gradients"):
        collected(process, path, batch, seeds, broken)


@pytest.mark.parametrize("name", ["two_ways_float32", "conv_2d_grouped_float32", "conv_2d_strided_dilated_float32"])
def test_the_effect_of_a_weight_is_the_error_that_independent_errors_of_it_make(
    process: InterpreterProcess, tmp_path: Path, name: str
) -> None:
    """Against the mean over errors drawn at random; inputs without a mean, so that feedback takes nothing off."""
    path, drawn, size = FOLDER / f"{name}.tflite", 60, 1e-3
    model = open_model(path)
    data, layers = path.read_bytes(), layers_of(model)
    weights = {find_layer(model, each).output: each for each in select(model)[0] if find_layer(model, each)}
    key, sample = sample_of(model)
    batch = {each: values[None] for each, values in sample.items()}
    tape, seeds = taped(model)
    inputs = {tensor: weight_input(model, layer) for tensor, layer in layers.items()}
    found = [collected(process, path, batch, seeds, tape, inputs, [seed]).effects for seed in range(drawn)]
    generator, probes = np.random.default_rng(0), [probe_of(output.tensor) for output in outputs_of(model, None)]
    (exact,) = process.call(observe, path, key, batch, probes, Kernels.DEFAULT, 1)
    for tensor in tape.kept:
        span, squares = weights[tensor].span, []
        for _ in range(drawn):
            changed = np.frombuffer(data[span.start : span.stop], np.float32).copy()
            changed += size * generator.standard_normal(changed.shape, np.float32)
            other = tmp_path / "changed.tflite"
            other.write_bytes(data[: span.start] + changed.tobytes() + data[span.stop :])
            (outputs,) = process.call(observe, other, key, batch, probes, Kernels.DEFAULT, 1)
            squares.append(sum(float(np.sum((a - b) ** 2)) for a, b in zip(exact, outputs, strict=True)) / size**2)
        assert np.mean([each[tensor] for each in found]) == pytest.approx(np.mean(squares), rel=0.25)


def weight_input(model: Model, layer: Layer) -> WeightInput:
    """The input of a layer, as if it were zero in the mean."""
    tensor = model.subgraphs[0].tensors[layer.input]
    parts = layer.rows.groups if layer.kind == "depthwise" else layer.groups
    source = LayerInput(
        probe_of(tensor), layer.kind, parts, layer.columns, layer.window, layer.groups, layer.multiplier
    )
    return WeightInput(source, np.zeros((parts, layer.columns), np.float32), shifts=False)


def test_feedback_and_biases_take_the_mean_input_off(process: InterpreterProcess) -> None:
    """Of a single input, which is the mean, feedback leaves the share of the last two columns, and a bias nothing."""
    path = FOLDER / "fully_connected_float32.tflite"
    model = open_model(path)
    (layer,) = layers_of(model).values()
    _, sample = sample_of(model)
    batch = {name: values[None] for name, values in sample.items()}
    tape, seeds = taped(model)
    source = weight_input(model, layer)
    mean = next(iter(sample.values())).reshape(1, -1)
    plain, less, least = (
        collected(process, path, batch, seeds, tape, {layer.output: each}).effects[layer.output]
        for each in (source, replace(source, mean=mean), replace(source, mean=mean, shifts=True))
    )
    assert less == pytest.approx(plain * 2 / layer.columns, rel=1e-4)
    assert least == pytest.approx(0, abs=1e-6 * plain)
