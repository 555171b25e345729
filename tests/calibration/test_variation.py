"""Whether outputs vary over synthetic samples, with the interpreter, on models that plain ones leave unmoved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER
from support.operators import after_dense

from tflite_cluster import cluster, compare
from tflite_cluster.calibration.variation import varies, with_varying_outputs
from tflite_cluster.config import Config
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels
from tflite_cluster.interpreter.worker import describe, run
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model
from tflite_cluster.run.session import Session, open_session
from tflite_cluster.samples.samples import Samples
from tflite_cluster.samples.synthetic import synthetic_samples

FLOOR = 8
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


def edited(data: bytes, shape: tuple[int, ...], change: Callable[[Floats], Floats]) -> bytes:
    """A model with other values in its float32 constant of a shape."""
    model = open_model(data)
    (span,) = (
        model.buffers[tensor.buffer]
        for tensor in model.tensors
        if tensor.shape == shape and model.buffers[tensor.buffer].size
    )
    values = np.frombuffer(data[span.start : span.stop], np.float32).reshape(shape)
    return data[: span.start] + change(values).astype(np.float32).tobytes() + data[span.stop :]


def slow_memory() -> bytes:
    """SVDF that pays no heed to the latest four of the ten inputs that it remembers."""
    return edited((FOLDER / "svdf_float32.tflite").read_bytes(), (64, 10), lambda time: time * (np.arange(10) < 6))


def rounding(gain: float, *, both: bool = False) -> bytes:
    """FLOOR of a layer whose outputs are 0.5 and little more or less, unless inputs are large."""
    data = edited(after_dense(FLOOR, (1, 8), both=both), (8, 6), lambda weights: weights * gain)
    return edited(data, (8,), lambda bias: np.full_like(bias, 0.5))


def samples_of(process: InterpreterProcess, path: Path) -> Samples:
    (signature,) = process.call(describe, path).signatures
    plain = synthetic_samples(signature, {}, 200, 0)
    return with_varying_outputs(process, open_model(path), path, signature, plain, {}, 0, 1, Kernels.DEFAULT)


def outputs(process: InterpreterProcess, path: Path, samples: Samples) -> list[npt.NDArray[Any]]:
    (values,) = process.call(run, path, None, samples.batch(0, samples.count)).values()
    return values


def test_plain_samples_stay_where_outputs_vary(process: InterpreterProcess):
    path = FOLDER / "svdf_float32.tflite"
    found = samples_of(process, path)
    assert (found.invocations, found.count, found.source) == (1, 200, "200 synthetic samples")
    assert not found.constant_outputs


def test_a_model_with_memory_gets_sequences(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "slow.tflite"
    path.write_bytes(slow_memory())
    found = samples_of(process, path)
    assert (found.invocations, found.count, found.source) == (8, 100, "100 synthetic samples of 8 invocations")
    assert not found.constant_outputs
    assert found.batch(2, 5)["x"].shape == (3, 8, 1, 20)
    assert np.ptp(np.stack(outputs(process, path, found)), axis=0).min() > 0


def test_other_ranges_are_tried(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "rounding.tflite"
    path.write_bytes(rounding(1e-3))
    found = samples_of(process, path)
    assert not found.constant_outputs
    assert "range multiplied by 1024" in found.source
    assert varies(outputs(process, path, found))


def test_where_some_outputs_vary_half_of_the_samples_stay(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "rounding.tflite"
    path.write_bytes(rounding(1e-3, both=True))
    found = samples_of(process, path)
    assert not found.constant_outputs
    assert "half of them plain noise" in found.source
    (signature,) = process.call(describe, path).signatures
    plain = synthetic_samples(signature, {}, 200, 0).batch(0, 200)["x"]
    values = found.batch(0, 200)["x"]
    np.testing.assert_array_equal(values[::2], plain[::2])
    assert np.abs(values[1::2]).max() > 100 * np.abs(plain).max()


def test_where_nothing_helps_that_is_known(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "dead.tflite"
    path.write_bytes(rounding(0.0))
    found = samples_of(process, path)
    assert found.constant_outputs == ("y",)
    assert found.source == "200 synthetic samples"


def test_the_same_model_gets_the_same_samples(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "slow.tflite"
    path.write_bytes(slow_memory())
    one, other = (samples_of(process, path).batch(0, 100)["x"] for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_run_observes_and_compares_the_end_of_sequences(tmp_path: Path):
    path, new = tmp_path / "slow.tflite", tmp_path / "new.tflite"
    path.write_bytes(slow_memory())
    with open_session(analyse(open_model(path)), path, Config()) as session:
        assert isinstance(session, Session)
        assert session.samples[None].invocations == 8
    result = cluster(path, new, clusters=8)
    assert result.strategy.words == "calibrated on 100 synthetic samples of 8 invocations"
    assert result.fidelity.basis == "100 synthetic samples of 8 invocations"
    found = compare(path, new)
    assert found.fidelity.outputs == result.fidelity.outputs
    assert [layer.operator for layer in found.layers] == ["SVDF"]
    assert found.layers[0].sqnr < 60


def test_samples_that_are_given_keep_their_meaning(tmp_path: Path):
    path = tmp_path / "slow.tflite"
    path.write_bytes(slow_memory())
    data = np.random.default_rng(0).standard_normal((20, 1, 20)).astype(np.float32)
    with open_session(analyse(open_model(path)), path, Config(data=data)) as session:
        assert isinstance(session, Session)
        assert (session.samples[None].invocations, session.samples[None].count) == (1, 20)


@given(st.integers(2, 6), st.sampled_from(["<f4", "i1", "u1", "<i4", "?"]), st.integers(0, 1000))
def test_what_is_all_alike_does_not_vary(count: int, dtype: str, seed: int):
    values = (100 * np.random.default_rng(seed).random(7)).astype(dtype)
    assert not varies([values] * count)
    changed = values.copy()
    changed[3] = not changed[3] if dtype == "?" else changed[3] + 1
    assert varies([values] * count + [changed])


def test_rounding_is_no_variation():
    values = np.full((12, 5), 300, np.float32)
    values[::2] = np.nextafter(values[::2], np.float32(301))
    assert not varies(list(values))
    assert not varies([np.full(3, np.nan, np.float32)] * 4)
    assert varies(list(values - 300))
