"""The likeliest range and kind of an input, on small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.operators import two_dense

from tflite_cluster.api.cluster import cluster
from tflite_cluster.calibration.ranges import guess_range
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model
from tflite_cluster.samples.synthetic import InputHint

RELU6 = 21
UNITS = 64


def highest(path: Path, first: float, second: float) -> float:
    """The upper end of the range that is found for two layers with such deviations of weights, RELU6 between them."""
    generator = np.random.default_rng(0)
    layers = [
        (generator.standard_normal((UNITS, UNITS)) * deviation / np.sqrt(UNITS), np.full(UNITS, 0.5))
        for deviation in (first, second)
    ]
    path.write_bytes(two_dense(*layers, middle=RELU6))
    return guessed(path).high


def guessed(path: Path) -> InputHint:
    analysis = analyse(open_model(path))
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        (signature,) = process.call(describe, path).signatures
        found = guess_range(process, analysis, path, signature, {}, 1)
    (hint,) = found.values()
    return hint


def test_saturated_activations_do_not_make_a_large_range_likelier(tmp_path: Path) -> None:
    """The second layer sees at most 6 for each input, and so pulls toward any range that is large enough."""
    path = tmp_path / "model.tflite"
    even = highest(path, 1.0, 1.0)
    assert 1 <= even <= 8
    assert highest(path, 1.0, 0.1) == even
    assert highest(path, 0.25, 1.0) == 4 * even


TIME, COEFFICIENTS = 40, 10


def trained_on(path: Path, deviations: np.ndarray) -> InputHint:
    """What is found for a model whose channels each read one coefficient over time, with weights that suit its size."""
    generator = np.random.default_rng(0)
    weights = np.zeros((UNITS, TIME, COEFFICIENTS))
    for channel in range(UNITS):
        number = channel % COEFFICIENTS
        weights[channel, :, number] = generator.standard_normal(TIME) / deviations[number] / np.sqrt(TIME)
    first = weights.reshape(UNITS, -1), np.zeros(UNITS)
    second = generator.standard_normal((UNITS, UNITS)) / np.sqrt(UNITS), np.zeros(UNITS)
    path.write_bytes(two_dense(first, second, middle=RELU6, shape=(1, TIME, COEFFICIENTS, 1)))
    return guessed(path)


def test_the_first_layers_tell_cepstra_from_noise(tmp_path: Path) -> None:
    cepstra = np.concatenate([[8.0], np.arange(1, COEFFICIENTS) ** -0.65])
    assert trained_on(tmp_path / "cepstra.tflite", cepstra).cepstra is not None
    assert trained_on(tmp_path / "alike.tflite", np.ones(COEFFICIENTS)).cepstra is None


@pytest.mark.parametrize("free", [(0,), (1,), (0, 1)])
def test_inputs_of_any_length_are_not_made_up_in_the_length_of_the_file(tmp_path: Path, free: tuple[int, ...]) -> None:
    """Dense layers pass over values that fill no row, so that the interpreter runs any length too."""
    path = tmp_path / "model.tflite"
    generator = np.random.default_rng(0)
    first = generator.standard_normal((UNITS, COEFFICIENTS)), np.zeros(UNITS)
    second = generator.standard_normal((COEFFICIENTS, UNITS)), np.zeros(COEFFICIENTS)
    path.write_bytes(two_dense(first, second, middle=RELU6, shape=(1, TIME, COEFFICIENTS), free=(1,)))
    assert guessed(path).cepstra is None
    path.write_bytes(two_dense(first, second, middle=RELU6, shape=(TIME, COEFFICIENTS), free=free))
    small = cluster(path, tmp_path / "small.tflite", effort="fast", force=True)
    assert small.fidelity.status == "checked"
