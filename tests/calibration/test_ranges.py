"""The likeliest range of an input, on a model whose activations saturate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.operators import two_dense

from tflite_cluster.calibration.ranges import guess_range
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model

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
    analysis = analyse(open_model(path))
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        (signature,) = process.call(describe, path).signatures
        found = guess_range(process, analysis, path, signature, {}, 1)
    (hint,) = found.values()
    return hint.high


def test_saturated_activations_do_not_make_a_large_range_likelier(tmp_path: Path) -> None:
    """The second layer sees at most 6 for each input, and so pulls toward any range that is large enough."""
    path = tmp_path / "model.tflite"
    even = highest(path, 1.0, 1.0)
    assert 1 <= even <= 8
    assert highest(path, 1.0, 0.1) == even
    assert highest(path, 0.25, 1.0) == 4 * even
