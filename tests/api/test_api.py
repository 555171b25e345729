"""cluster() from one end to the other, on the example and on every fixture."""

from __future__ import annotations

import inspect
import io
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER, MANIFEST, MODELS

import tflite_cluster
from tflite_cluster import (
    Config,
    ConfigError,
    DataError,
    FidelityError,
    ModelError,
    NotSmallerError,
    OutputError,
    Result,
    TfliteClusterError,
    cluster,
)
from tflite_cluster.config import Settings
from tflite_cluster.fidelity.check import check_fidelity
from tflite_cluster.interpreter import worker
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.progress import Plan
from tflite_cluster.samples.load import load_samples

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.tflite"
FIXTURES = Path(__file__).parents[1] / "fixtures"
CONV = FIXTURES / "conv_2d_float32.tflite"


def differing(one: bytes, other: bytes) -> np.ndarray:
    """Where two files of the same length differ."""
    assert len(one) == len(other)
    return np.flatnonzero(np.frombuffer(one, np.uint8) != np.frombuffer(other, np.uint8))


def check_spans(result: Result, before: bytes, after: bytes) -> None:
    """All that differs lies in the spans, which are in order, disjoint and hold a difference each."""
    inside = np.zeros(len(before), bool)
    stop = 0
    for span in result.spans:
        assert stop <= span.start < span.stop
        assert before[span.start : span.stop] != after[span.start : span.stop]
        inside[span.start : span.stop] = True
        stop = span.stop
    assert inside[differing(before, after)].all()


def test_bytes_in_and_bytes_out() -> None:
    before = DIGITS.read_bytes()
    result = cluster(before, clusters=16, run=False)
    assert result.model is not None
    assert result.destination is None
    check_spans(result, before, result.model)
    assert len(result.spans) == 7


def test_path_in_and_bytes_out() -> None:
    result = cluster(str(CONV), clusters=16, run=False)
    assert result.model == cluster(CONV.read_bytes(), clusters=16, run=False).model
    assert result.source == "conv_2d_float32.tflite"


def test_bytes_in_and_file_out(tmp_path: Path) -> None:
    target = tmp_path / "out.tflite"
    result = cluster(CONV.read_bytes(), target, clusters=16, run=False)
    assert result.model is None
    assert result.destination == target
    assert list(tmp_path.iterdir()) == [target]
    check_spans(result, CONV.read_bytes(), target.read_bytes())


def check_search(result: Result, least_ratio: float) -> None:
    """The search chose one of its points, and the zip is this many times smaller."""
    search = result.strategy.search
    assert search is not None
    assert search.chosen in search.points
    assert search.observed == len(search.sensitivities) == len(search.prices) == 7
    assert result.sizes is not None
    assert result.sizes.zip9.ratio >= least_ratio
    assert result.sizes.file.ratio == 1
    assert result.spans


def test_file_objects_in_and_out(tmp_path: Path) -> None:
    expected = cluster(CONV, clusters=16, run=False).model
    given, taken = io.BytesIO(CONV.read_bytes()), io.BytesIO()
    result = cluster(given, taken, clusters=16, run=False)
    assert (taken.getvalue(), result.model, result.destination) == (expected, None, None)
    assert result.source == "the given bytes"
    with CONV.open("rb") as source, (tmp_path / "out.tflite").open("wb") as new:
        cluster(source, new, clusters=16, run=False)
    assert (tmp_path / "out.tflite").read_bytes() == expected
    with CONV.open("rb") as source:
        cluster(source, tmp_path / "other.tflite", clusters=16, run=False)
    assert (tmp_path / "other.tflite").read_bytes() == expected


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_object_of_bytes_is_a_model(kind: Callable[[bytes], bytearray | memoryview]) -> None:
    content = CONV.read_bytes()
    assert cluster(kind(content), clusters=16, run=False).model == cluster(content, clusters=16, run=False).model


@pytest.mark.parametrize("samples", [np.ones((1, 8, 8, 1)), np.ones((9, 8, 8, 1)), np.full((9, 8, 8, 1), 1e30)])
@pytest.mark.parametrize("clusters", [None, 16])
def test_samples_that_say_nothing_end_in_no_crash(samples: np.ndarray, clusters: int | None) -> None:
    result = cluster(DIGITS, data=samples.astype(np.float32), clusters=clusters, effort="fast", measure=False)
    assert result.fidelity.verdict == "unknown"


def test_file_objects_that_do_not_do(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no model")
    with text.open() as words, pytest.raises(ModelError, match="open it in binary mode"):
        cluster(words, clusters=16, run=False)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="file object cannot be read"):
        cluster(words, clusters=16, run=False)  # type: ignore[arg-type]
    with text.open("rb") as reading, pytest.raises(OutputError, match="file object cannot be written"):
        cluster(CONV, reading, clusters=16, run=False)
    with text.open("w") as words, pytest.raises(OutputError, match="file object cannot be written"):
        cluster(CONV, words, clusters=16, run=False)  # type: ignore[arg-type]
    kept = io.BytesIO()
    with pytest.raises(NotSmallerError):
        cluster(FIXTURES / "four_values_float32.tflite", kept, clusters=16, run=False)
    assert kept.getvalue() == b""


@pytest.mark.slow
def test_by_default_the_smallest_zip_that_keeps_the_accuracy() -> None:
    """On the labelled samples beside the model; the same bytes whatever the workers, every time."""
    result = cluster(DIGITS, workers=2)
    check_search(result, 5)
    assert cluster(DIGITS, workers=1, measure=False).model == result.model
    assert not result.fidelity.synthetic
    assert [tensor.role for tensor in result.tensors] == ["weight"] * 7 + ["bias"] * 7
    accuracy = result.fidelity.accuracy
    assert accuracy is not None
    assert accuracy.samples == 360
    assert accuracy.before == pytest.approx(356 / 360)
    assert accuracy.drop_points <= 1


@pytest.mark.slow
def test_by_default_without_data(tmp_path: Path) -> None:
    """Bytes have no samples beside them; how well that does is measured on the samples that it did not see."""
    target = tmp_path / "out.tflite"
    result = cluster(DIGITS.read_bytes(), target)
    check_search(result, 3)
    assert result.fidelity.synthetic
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        interface = process.call(worker.describe, DIGITS)
        samples = load_samples(EXAMPLES / "digits.samples.npz", interface)
        accuracy = check_fidelity(process, DIGITS, target, interface, samples).accuracy
    assert accuracy is not None
    assert accuracy.drop_points <= 2


@pytest.mark.slow
def test_a_size_that_cannot_be_reached() -> None:
    with pytest.raises(
        FidelityError, match=r"max-size: the zip takes [\d,]+ bytes in the smallest candidate, and 101 are"
    ) as failed:
        cluster(CONV, max_size=101, measure=False)
    (gate,) = failed.value.result.fidelity.gates
    assert (gate.gate, gate.limit, gate.passed) == ("max-size", 101, False)


@pytest.mark.slow
def test_samples_as_arrays() -> None:
    data = {name: values[:40] for name, values in np.load(EXAMPLES / "digits.samples.npz").items()}
    result = cluster(DIGITS.read_bytes(), clusters=32, data=data, measure=False)
    assert result.fidelity.accuracy is not None
    assert result.fidelity.accuracy.samples == 40
    images = next(values for name, values in data.items() if name != "y")
    result = cluster(DIGITS, clusters=32, data=images[:20], measure=False)
    assert [output.samples for output in result.fidelity.outputs] == [20]
    assert result.fidelity.accuracy is None


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["tensor", "axis"])
@pytest.mark.parametrize("name", ["digits.tflite", "digits-int8.tflite"])
def test_the_same_bytes_whatever_the_workers(name: str, granularity: typing.Literal["tensor", "axis"]) -> None:
    models = [
        cluster(
            EXAMPLES / name,
            clusters=8,
            granularity=granularity,
            workers=workers,
            run=False,
            measure=False,
            force=True,
        ).model
        for workers in (1, 3)
    ]
    assert models[0] is not None
    assert len(set(models)) == 1


def test_clustering_again_changes_nothing() -> None:
    once = cluster(DIGITS, clusters=16, run=False).model
    assert once is not None
    with pytest.raises(NotSmallerError, match="no weight was changed, so it would not zip smaller") as again:
        cluster(once, clusters=16, run=False)
    assert again.value.result.spans == ()


def test_one_codebook_for_each_channel() -> None:
    result = cluster(CONV, clusters=4, granularity="axis", run=False, force=True)
    (tensor,) = (tensor for tensor in result.tensors if tensor.span is not None)
    assert tensor.values_after is not None
    assert tensor.span is not None
    assert result.model is not None
    kernels = np.frombuffer(result.model[tensor.span.start : tensor.span.stop], "<f4").reshape(tensor.shape)
    assert max(len(np.unique(kernel)) for kernel in kernels) == 4 < tensor.values_after


@pytest.mark.slow
def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    cluster(DIGITS, clusters=16, progress=lambda *step: told.append(step))
    for stage in {stage for stage, _, _ in told}:
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
        assert len({total for _, total in steps}) == 1, "a total that grows tells no end"
    assert len({stage for stage, _, _ in told}) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["outside_float32", "two_signatures_float32"])
def test_the_plan_of_a_search_is_told_first_and_totals_stay(name: str) -> None:
    told: list[tuple[str, int, int]] = []
    cluster(FOLDER / f"{name}.tflite", force=True, progress=lambda *step: told.append(step))
    assert isinstance(told[0][0], Plan)
    assert [stage for stage, _, _ in told if isinstance(stage, Plan)] == [told[0][0]]
    stages = {stage: [total for each, _, total in told if each == stage] for stage, _, _ in told}
    assert stages.keys() >= {"Calibrating", "Measuring sensitivities", "Searching", "Measuring", "Comparing"}
    assert all(len(set(totals)) == 1 for totals in stages.values())
    for stage, totals in stages.items():
        assert max(done for each, done, _ in told if each == stage) == totals[0]


WRONG: list[Settings] = [
    {"clusters": 1},
    {"clusters": 257},
    {"granularity": "row"},  # type: ignore[typeddict-item]
    {"min_agreement": -1},
    {"min_agreement": 0.98},
    {"max_drop": -0.5},
    {"min_agreement": float("nan")},
    {"min_sqnr": float("inf")},
    {"max_drop": float("nan")},
    {"timeout": 0},
    {"timeout": float("inf")},
    {"memory": -1},
    {"seed": -1},
    {"workers": 0},
    {"check": False, "max_drop": 1},
]


@pytest.mark.parametrize("settings", WRONG, ids=str)
def test_wrong_settings(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="|".join(settings)):
        cluster(CONV, **settings)


@pytest.mark.slow
def test_errors_are_of_one_family(tmp_path: Path) -> None:
    cases: list[tuple[type[TfliteClusterError], tuple[object, ...], Settings]] = [
        (ModelError, (b"",), {}),
        (ModelError, (tmp_path / "missing.tflite",), {}),
        (DataError, (CONV,), {"data": tmp_path / "missing.npz"}),
        (OutputError, (CONV, CONV), {"force": True}),
        (FidelityError, (DIGITS,), {"clusters": 2, "min_sqnr": 80}),
        (NotSmallerError, (FIXTURES / "four_values_float32.tflite",), {}),
    ]
    for kind, arguments, settings in cases:
        with pytest.raises(kind):
            cluster(*arguments, **settings)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_settings_are_the_fields_of_config() -> None:
    words = {name: hint.__forward_arg__ for name, hint in Settings.__annotations__.items()}
    assert words == {field.name: field.type for field in fields(Config)}


def test_public_names_exist() -> None:
    for name in tflite_cluster.__all__:
        assert getattr(tflite_cluster, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'clutser'"):
        _ = tflite_cluster.clutser
    assert inspect.getdoc(cluster)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_fixture(path: Path) -> None:
    before = path.read_bytes()
    result = cluster(path, clusters=24, force=True)
    assert result.model is not None
    check_spans(result, before, result.model)
    entry = MANIFEST[path.name]
    expected = "checked" if entry["interpreter"]["default"] == "runs" else "not checked"
    if path.stem == "string_input_float32":
        expected = "not checked"  # words cannot be made up
    assert (result.fidelity.status, result.fidelity.passed) == (expected, True), result.fidelity.cause
    clustered = {tensor.name for tensor in result.tensors if tensor.clustered}
    assert clustered <= {weight["name"] for weight in entry["weights"]}
    assert not clustered & {constant["name"] for constant in entry["left_alone"]}


@pytest.mark.slow
def test_a_gate_on_accuracy_is_refused_where_the_original_only_guesses() -> None:
    """Labels of other samples stand for inputs that were not preprocessed as the model takes them."""
    with np.load(DIGITS.with_suffix(".samples.npz")) as samples:
        data = {"x": samples["x"][:60], "y": np.roll(samples["y"][:60], 7)}
    with pytest.raises(FidelityError, match=r"as guessing would .*preprocessed") as refused:
        cluster(DIGITS, data=data, clusters=32, max_drop=2, measure=False)
    assert refused.value.result.fidelity.verdict == "unknown"
