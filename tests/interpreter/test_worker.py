from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter
from support.operators import dense

from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.interface import Sequences
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels
from tflite_cluster.interpreter.worker import describe, open_model, run

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
FIXTURES = REPOSITORY / "tests" / "fixtures"


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


def noise(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def read_tensor(path: Path, key: str, sample: dict[str, npt.NDArray[Any]], index: int) -> npt.NDArray[Any]:
    model = open_model(path, Kernels.DEFAULT, 1, preserve_all_tensors=True)
    model.run(key, sample)
    return model.tensor(index)


def test_a_signature_is_described_by_its_names(process: InterpreterProcess):
    (signature,) = process.call(describe, EXAMPLES / "digits-int8.tflite").signatures
    (image,) = signature.inputs
    (scores,) = signature.outputs
    assert (signature.key, image.name, scores.name) == ("serving_default", "image", "output_0")
    assert (image.shape, image.shape_signature, image.dtype) == ((1, 8, 8, 1), (-1, 8, 8, 1), np.dtype(np.int8))
    assert (image.scale, image.zero_point) == (pytest.approx(1 / 255), -128)
    assert scores.scale == 1 / 256


def test_a_model_without_signatures_is_described_by_its_tensors(process: InterpreterProcess):
    (signature,) = process.call(describe, FIXTURES / "weight_used_twice_float32.tflite").signatures
    assert signature.key is None
    assert [spec.name for spec in signature.inputs] == ["x", "other"]
    assert [spec.name for spec in signature.outputs] == ["y", "total"]


def test_each_signature_runs_its_own_subgraph(process: InterpreterProcess):
    path = FIXTURES / "two_signatures_float32.tflite"
    interface = process.call(describe, path)
    assert {signature.key for signature in interface.signatures} == {"encode", "score"}
    results = [process.call(run, path, key, {"x": noise(2, 1, 32)}) for key in ("encode", "score", "encode")]
    assert [list(result) for result in results] == [["code"], ["score"], ["code"]]
    np.testing.assert_array_equal(results[0]["code"], results[2]["code"])


@pytest.mark.parametrize("kernels", list(Kernels))
def test_samples_run_one_by_one_give_what_they_give_in_one_batch(process: InterpreterProcess, kernels: Kernels):
    path = EXAMPLES / "digits.tflite"
    images = np.load(EXAMPLES / "digits.samples.npz")["x"][:5]
    interpreter = Interpreter(str(path))
    expected = interpreter.get_signature_runner()(image=images)["output_0"]
    outputs = process.call(run, path, "serving_default", {"image": images[:, np.newaxis]}, kernels, 2)["output_0"]
    assert [output.shape for output in outputs] == [(1, 10)] * 5
    np.testing.assert_allclose(np.concatenate(outputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "key"), [("resource_variable_float32", "serving_default"), ("unidirectional_sequence_lstm_float32", None)]
)
def test_state_does_not_leak_from_sample_to_sample(process: InterpreterProcess, name: str, key: str | None):
    path = FIXTURES / f"{name}.tflite"
    (signature,) = process.call(describe, path).signatures
    inputs = {spec.name: np.repeat(noise(1, *spec.shape), 3, axis=0) for spec in signature.inputs}
    for outputs in process.call(run, path, key, inputs).values():
        np.testing.assert_array_equal(outputs[1], outputs[0])
        np.testing.assert_array_equal(outputs[2], outputs[0])


@pytest.mark.parametrize(("name", "key"), [("svdf_float32", None), ("unidirectional_sequence_rnn_float32", None)])
def test_a_sequence_keeps_its_state_to_its_end(process: InterpreterProcess, name: str, key: str | None):
    path = FIXTURES / f"{name}.tflite"
    (signature,) = process.call(describe, path).signatures
    (given,), (result,) = signature.inputs, signature.outputs
    sequences = noise(2, 3, *given.shape)
    outputs = process.call(run, path, key, Sequences({given.name: sequences}))[result.name]
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for sequence, output in zip(sequences, outputs, strict=True):
        interpreter.reset_all_variables()
        for values in sequence:
            interpreter.set_tensor(given.index, values)
            interpreter.invoke()
        np.testing.assert_array_equal(output, interpreter.get_tensor(result.index))
    alone = process.call(run, path, key, {given.name: sequences[:, -1]})[result.name]
    assert not np.allclose(alone[0], outputs[0])


def test_state_that_goes_in_and_out_is_handed_on(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(dense((1, 8), (8, 8), (1, 8)))
    x = noise(1, 3, 1, 8)
    (found,) = process.call(run, path, None, Sequences({"x": x}, {"x": "y"}))["y"]
    once = process.call(run, path, None, {"x": x[0, :1]})["y"]
    twice = process.call(run, path, None, {"x": np.stack(once)})["y"]
    np.testing.assert_array_equal(found, process.call(run, path, None, {"x": np.stack(twice)})["y"][0])


def test_inputs_of_any_size_take_the_size_of_the_sample(process: InterpreterProcess):
    path = FIXTURES / "dynamic_batch_float32.tflite"
    for batch in (3, 1, 7):
        outputs = process.call(run, path, "serving_default", {"x": noise(2, batch, 48)})["output_0"]
        assert [output.shape for output in outputs] == [(batch, 32)] * 2


def test_a_model_without_signatures_resizes_too(process: InterpreterProcess):
    path = FIXTURES / "embedding_lookup_float32.tflite"
    for count in (2, 6):
        (output,) = process.call(run, path, None, {"indices": np.zeros((1, count), np.int32)})["y"]
        assert output.shape == (count, 16)


def test_an_intermediate_tensor_can_be_read(process: InterpreterProcess):
    path = FIXTURES / "gru_unrolled_float32.tflite"
    (signature,) = process.call(describe, path).signatures
    (given,) = signature.inputs
    sample = noise(*given.shape)
    values = process.call(read_tensor, path, signature.key, {given.name: sample}, given.index)
    np.testing.assert_array_equal(values, sample)


def test_a_file_that_changes_is_opened_anew(process: InterpreterProcess, tmp_path: Path):
    path = tmp_path / "model.tflite"
    shutil.copy(EXAMPLES / "digits.tflite", path)
    assert process.call(run, path, "serving_default", {"image": noise(1, 1, 8, 8, 1)})
    shutil.copy(FIXTURES / "two_signatures_float32.tflite", tmp_path / "next.tflite")
    (tmp_path / "next.tflite").replace(path)
    assert process.call(run, path, "encode", {"x": noise(1, 1, 32)})


def test_many_models_can_take_turns(process: InterpreterProcess):
    paths = [FIXTURES / f"fully_connected_{kind}.tflite" for kind in ("float32", "float16", "hybrid_int8", "int8")]
    paths += [FIXTURES / "labels_behind_float32.tflite", EXAMPLES / "digits.tflite"]
    for path in paths * 2:
        (signature,) = process.call(describe, path).signatures
        samples = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in signature.inputs}
        assert process.call(run, path, signature.key, samples)


def test_a_missing_operator_is_named(process: InterpreterProcess):
    path = FIXTURES / "custom_operator_float32.tflite"
    (signature,) = process.call(describe, path).signatures
    samples = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in signature.inputs}
    with pytest.raises(InterpreterFailure, match="custom operator NobodyKnowsThis,"):
        process.call(run, path, signature.key, samples)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + bytes(64), bytes(1000)])
def test_a_file_that_is_no_model_is_refused(process: InterpreterProcess, tmp_path: Path, content: bytes):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(InterpreterFailure):
        process.call(describe, path)


def test_a_missing_interpreter_is_reported(monkeypatch: pytest.MonkeyPatch):
    for name in ("ai_edge_litert.interpreter", "tensorflow.lite.python.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InterpreterFailure, match="neither ai-edge-litert nor tensorflow"):
        describe(EXAMPLES / "digits.tflite")


def test_a_missing_file_is_refused(process: InterpreterProcess, tmp_path: Path):
    with pytest.raises(InterpreterFailure, match=r"cannot be opened.*absent\.tflite"):
        process.call(run, tmp_path / "absent.tflite", None, {})
