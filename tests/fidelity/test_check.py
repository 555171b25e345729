from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tflite
from support.fixture_models import MANIFEST, MODELS

from tflite_cluster.fidelity.check import check_fidelity
from tflite_cluster.fidelity.gates import Gates
from tflite_cluster.fidelity.judge import judge
from tflite_cluster.fidelity.verdict import Fidelity
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.samples.synthetic import gather_samples

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
FIXTURES = REPOSITORY / "tests" / "fixtures"
DIGITS = EXAMPLES / "digits.tflite"


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


@dataclass(frozen=True)
class Given:
    """The plainest thing that serves as samples."""

    inputs: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64] | None = None
    source: str = "made-up samples"
    synthetic: bool = False

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batch(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        return {name: values[start:stop] for name, values in self.inputs.items()}


def digits(*, labelled: bool = True, count: int = 120) -> Given:
    data = np.load(EXAMPLES / "digits.samples.npz")
    images = data["x"][:count, np.newaxis]
    return Given({"image": images}, data["y"][:count] if labelled else None, "digits")


def spoil(source: Path, target: Path, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]) -> Path:
    """Change every float32 buffer of more than 1 KB in place."""
    content = bytearray(source.read_bytes())
    model = tflite.Model.GetRootAsModel(content, 0)
    for number in range(model.BuffersLength()):
        values = model.Buffers(number).DataAsNumpy()
        if isinstance(values, np.ndarray) and values.size > 1024:
            weights = values.view(np.float32)
            weights[:] = change(weights)
    target.write_bytes(content)
    return target


def coarse(weights: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    step = np.abs(weights).max() / 4
    return np.round(weights / step) * step


def check(process: InterpreterProcess, original: Path, clustered: Path, given: Given, **options: Any) -> Fidelity:
    interface = process.call(describe, original)
    samples = {signature.key: given for signature in interface.signatures}
    return check_fidelity(process, original, clustered, interface, samples, **options)


def test_a_model_is_faithful_to_itself(process: InterpreterProcess):
    fidelity = check(process, DIGITS, DIGITS, digits())
    (output,) = fidelity.outputs
    assert (fidelity.status, fidelity.basis, output.samples) == ("checked", "digits", 120)
    assert (output.sqnr_db, output.agreement) == (np.inf, 1.0)
    assert fidelity.accuracy is not None
    assert fidelity.accuracy.before == fidelity.accuracy.after > 0.95


def test_a_spoilt_model_loses_in_every_measure_and_trips_every_gate(process: InterpreterProcess, tmp_path: Path):
    spoilt = spoil(DIGITS, tmp_path / "spoilt.tflite", coarse)
    fidelity = check(process, DIGITS, spoilt, digits())
    (output,) = fidelity.outputs
    assert output.sqnr_db is not None
    assert output.sqnr_db < 30
    assert output.agreement is not None
    assert output.agreement < 1
    assert fidelity.accuracy is not None
    assert fidelity.accuracy.drop_points > 0
    gates = {"min_agreement": 100.0, "min_sqnr": 60.0, "max_drop": 0.0}
    assert [gate.passed for gate in judge(fidelity, Gates(**gates)).gates] == [False, False, False]


def test_the_noise_floor_is_finer_than_clustering(process: InterpreterProcess, tmp_path: Path):
    fidelity = check(process, DIGITS, spoil(DIGITS, tmp_path / "spoilt.tflite", coarse), digits())
    assert fidelity.noise_floor is not None
    (floor,) = fidelity.noise_floor.outputs
    (output,) = fidelity.outputs
    assert (floor.samples, floor.agreement) == (8, 1.0)
    assert floor.max_abs_error is not None
    assert output.max_abs_error is not None
    assert floor.max_abs_error < output.max_abs_error / 100


def test_results_do_not_depend_on_how_fast_the_machine_is(process: InterpreterProcess, tmp_path: Path):
    spoilt = spoil(DIGITS, tmp_path / "spoilt.tflite", coarse)
    first, second = (check(process, DIGITS, spoilt, digits()) for _ in range(2))
    assert first == second


def test_weights_of_nan_are_found_out(process: InterpreterProcess, tmp_path: Path):
    spoilt = spoil(DIGITS, tmp_path / "nan.tflite", lambda weights: np.full_like(weights, np.nan))
    fidelity = judge(check(process, DIGITS, spoilt, digits()), Gates(min_agreement=1, min_sqnr=-1000, max_drop=50))
    assert [gate.passed for gate in fidelity.gates] == [False, False, False]


def test_outputs_that_are_not_finite_in_the_original_are_not_held_against_the_copy(process: InterpreterProcess):
    path = FIXTURES / "not_finite_float32.tflite"
    given = Given({"x": np.random.default_rng(0).standard_normal((4, 1, 48)).astype(np.float32)})
    fidelity = judge(check(process, path, path, given), Gates(min_sqnr=100))
    assert fidelity.passed
    assert "in the original too" in (fidelity.outputs[0].note or "")


def test_an_original_that_cannot_be_run_means_not_checked(process: InterpreterProcess):
    path = FIXTURES / "custom_operator_float32.tflite"
    (signature,) = process.call(describe, path).signatures
    given = Given({spec.name: np.zeros((2, *spec.shape), spec.dtype) for spec in signature.inputs})
    fidelity = check(process, path, path, given)
    assert fidelity.status == "not checked"
    assert "the original model cannot be run" in (fidelity.cause or "")
    assert "NobodyKnowsThis" in (fidelity.cause or "")
    assert not judge(fidelity, Gates(min_sqnr=-1000)).passed


def test_a_copy_that_cannot_be_run_is_broken_and_fails_without_any_gate(process: InterpreterProcess, tmp_path: Path):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(DIGITS.read_bytes()[:1000])
    fidelity = judge(check(process, DIGITS, cut, digits()), Gates())
    assert fidelity.status == "broken"
    assert "the clustered model cannot be run, though the original can" in (fidelity.cause or "")
    assert not fidelity.passed


@pytest.mark.parametrize(
    ("name", "other", "complaint"), [(b"other", b"ether", "takes the inputs"), (b"total", b"Total", "has the outputs")]
)
def test_a_copy_with_other_inputs_or_outputs_is_broken(
    process: InterpreterProcess, tmp_path: Path, name: bytes, other: bytes, complaint: str
):
    path = FIXTURES / "weight_used_twice_float32.tflite"
    renamed = tmp_path / "renamed.tflite"
    renamed.write_bytes(path.read_bytes().replace(name, other))
    (signature,) = process.call(describe, path).signatures
    given = Given({spec.name: np.ones((2, *spec.shape), spec.dtype) for spec in signature.inputs})
    fidelity = check(process, path, renamed, given)
    assert fidelity.status == "broken"
    assert complaint in (fidelity.cause or "")


class Unlucky(InterpreterProcess):
    """A process that dies of `path`."""

    path: Path

    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        if self.path in arguments:
            return super().call(os.abort)
        return super().call(function, *arguments, timeout=timeout)


@pytest.mark.parametrize(("victim", "status"), [("original", "not checked"), ("clustered", "broken")])
@pytest.mark.skipif(os.name != "posix", reason="names of signals are POSIX")
def test_a_crash_is_laid_at_the_right_door(tmp_path: Path, victim: str, status: str):
    paths = {
        name: spoil(DIGITS, tmp_path / f"{name}.tflite", lambda weights: weights) for name in ("original", "clustered")
    }
    with Unlucky(Limits(timeout=60, memory=None)) as process:
        process.path = tmp_path
        interface = process.call(describe, DIGITS)
        process.path = paths[victim]
        samples = {"serving_default": digits()}
        fidelity = check_fidelity(process, paths["original"], paths["clustered"], interface, samples)
    assert fidelity.status == status
    assert "SIGABRT" in (fidelity.cause or "")


@pytest.mark.parametrize(
    "path", [path for path in MODELS if path.stem != "string_input_float32"], ids=lambda path: path.stem
)
def test_every_model_that_runs_is_faithful_to_itself_on_synthetic_inputs(process: InterpreterProcess, path: Path):
    interface = process.call(describe, path)
    samples = gather_samples(interface, None, {}, 4, seed=0)
    fidelity = check_fidelity(process, path, path, interface, samples)
    runs = MANIFEST[path.name]["interpreter"]["default"] == "runs"
    assert fidelity.status == ("checked" if runs else "not checked")
    assert all(output.sqnr_db == np.inf for output in fidelity.outputs if output.varies)
    assert all(output.max_abs_error == 0 for output in fidelity.outputs if output.real)


def test_every_signature_is_checked_on_its_own_samples(process: InterpreterProcess):
    path = FIXTURES / "two_signatures_float32.tflite"
    interface = process.call(describe, path)
    values = np.random.default_rng(0).standard_normal((3, 1, 32)).astype(np.float32)
    samples = {"encode": Given({"x": values}, source="speech"), "score": Given({"x": values[:2]}, source="noise")}
    fidelity = check_fidelity(process, path, path, interface, samples)
    assert {(output.signature, output.name, output.samples) for output in fidelity.outputs} == {
        ("encode", "code", 3),
        ("score", "score", 2),
    }
    assert "speech for encode" in (fidelity.basis or "")
    assert "noise for score" in (fidelity.basis or "")


def test_nothing_to_compare_means_not_checked(process: InterpreterProcess):
    fidelity = check_fidelity(process, DIGITS, DIGITS, process.call(describe, DIGITS), {})
    assert fidelity.status == "not checked"


def test_progress_counts_every_sample_of_every_signature(process: InterpreterProcess):
    path = FIXTURES / "two_signatures_float32.tflite"
    heard: list[tuple[str, int, int]] = []
    given = Given({"x": np.zeros((20, 1, 32), np.float32)})
    check(process, path, path, given, progress=lambda *event: heard.append(event))
    assert {total for _, _, total in heard} == {40}
    done = [event[1] for event in heard]
    assert (done[0], done[-1]) == (0, 40)
    assert done == sorted(done)


def test_logits_are_class_scores_if_the_caller_says_so(process: InterpreterProcess):
    path = FIXTURES / "fully_connected_float32.tflite"
    (signature,) = process.call(describe, path).signatures
    given = Given({spec.name: np.ones((2, *spec.shape), spec.dtype) for spec in signature.inputs})
    assert check(process, path, path, given).outputs[0].agreement is None
    assert check(process, path, path, given, classes=True).outputs[0].agreement == 1.0
