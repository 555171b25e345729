"""Samples from a function, and scores of one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support.given_samples import EXAMPLE, FIXTURES, ROOT, SCHEMA, load, run, spec

from tflite_cluster import ConfigError, DataError, FidelityError, cluster
from tflite_cluster.cli import main
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select

FUNCTIONS = """
import numpy as np

def archive():
    with np.load("ARCHIVE") as data:
        return data["x"][:30], data["y"][:30]

def labelled():
    yield from zip(*archive())

def named():
    for image in archive()[0]:
        yield {"image": image}

def some_labelled():
    images, labels = archive()
    yield images[0], labels[0]
    yield images[1]

def uneven():
    yield np.zeros(64, np.float32)
    yield np.zeros(63, np.float32)

def half():
    yield np.zeros(64, np.float32), 2.5

def vast():
    yield np.zeros(64, np.float32), 2**70

def empty():
    return []

def breaks():
    yield np.zeros(64, np.float32)
    raise KeyError("lost")

def accuracy(model):
    images, labels = archive()
    hits = [model.run({"image": image})["scores"].argmax() == label for image, label in zip(images, labels)]
    return np.mean(hits)

def falls(model):
    falls.calls += 1
    return -falls.calls

falls.calls = 0

def nothing(model):
    return float("nan")

def misnamed(model):
    return model.run({"picture": 0})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's in the working directory."""
    name = f"of_mine_{abs(hash(tmp_path))}"
    archive = (ROOT / "examples" / "digits.samples.npz").as_posix()
    content = FUNCTIONS.replace("ARCHIVE", archive).replace("scores", output_name())
    (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return name


def output_name() -> str:
    from tflite_cluster.interpreter.worker import describe

    return describe(EXAMPLE).signatures[0].outputs[0].name


def test_a_function_gives_what_an_archive_gives(module: str) -> None:
    with np.load(ROOT / "examples" / "digits.samples.npz") as data:
        x, y = data["x"][:30], data["y"][:30]
    of = replace(spec((1, 8, 8, 1)), name="image")
    for function in (f"{module}:labelled", lambda: zip(x, y, strict=True)):
        samples = load(function, of)
        assert np.array_equal(samples.batch(0, 30)["image"][:, 0], x)
        assert samples.labels is not None
        assert samples.labels.tolist() == y.tolist()
    named = load(f"{module}:named", of)
    assert named.labels is None
    assert named.source == f"30 samples from {module}:named"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("some_labelled", "1 of 2 samples have a label"),
        ("uneven", r"sample 1 \(counted from 0\) is float32 of shape \[63\]"),
        ("half", r"at sample 0 \(counted from 0\): ValueError: the label 2.5 is not the number of a class"),
        ("vast", r"at sample 0 .* is not the number of a class"),
        ("empty", "it yields no samples"),
        ("breaks", r"at sample 1 \(counted from 0\): KeyError: 'lost'"),
    ],
)
def test_functions_that_cannot_be_taken(function: str, words: str, module: str) -> None:
    with pytest.raises(DataError, match=f"{module}:{function}: {words}"):
        run(data=f"{module}:{function}")


@pytest.mark.parametrize("name", ["no_such_module:f", "json:no_such_function", "json:__name__"])
def test_functions_that_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"data: {name}"):
        run(data=name)


# A metric of one's own


@pytest.mark.slow
def test_a_metric_is_reported_and_judged(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{EXAMPLE} out.tflite --data {module}:labelled --metric {module}:accuracy --max-drop 0.05"
    assert main([*command.split(), "--clusters", "32", "--report", "out.json"]) == 0
    text = capsys.readouterr().out
    assert f"score of {module}:accuracy" in text
    assert "gate max-drop holds" in text
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    fidelity = report["fidelity"]
    assert fidelity["score"]["before"] == pytest.approx(fidelity["accuracy"]["before"])
    assert fidelity["score"]["after"] == pytest.approx(fidelity["accuracy"]["after"])
    assert fidelity["score"]["before"] - fidelity["score"]["after"] <= 0.05


def test_a_metric_of_a_comparison(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"compare {EXAMPLE} {EXAMPLE} --data {module}:labelled --metric {module}:accuracy --max-drop 0 --seed 3"
    assert main(command.split()) == 0
    text = capsys.readouterr().out
    assert f"score of {module}:accuracy" in text
    assert "gate max-drop holds" in text


@pytest.mark.slow
def test_a_metric_that_falls_fails_the_gate(module: str) -> None:
    with pytest.raises(FidelityError, match=r"changes from -1 to -2, and 0\.5 may be lost") as caught:
        run(data=f"{module}:labelled", metric=f"{module}:falls", max_drop=0.5)
    assert caught.value.result.fidelity.score is not None


@pytest.mark.slow
def test_a_metric_steers_the_search() -> None:
    model = FIXTURES / "fully_connected_float32.tflite"
    (weight, *_), _ = select(open_model(model))
    original = model.read_bytes()[weight.span.start : weight.span.stop]

    def faithfulness(scored: Any) -> float:
        """Correlation with the original weights."""
        content = scored.path.read_bytes()[weight.span.start : weight.span.stop]
        return float(np.corrcoef(np.frombuffer(original, "<f4"), np.frombuffer(content, "<f4"))[0, 1])

    chosen = []
    for most in (1e-4, 1e-1):
        result = cluster(model, metric=faithfulness, max_drop=most, measure=False, force=True)
        assert result.fidelity.score is not None
        assert result.fidelity.score.before == pytest.approx(1)
        assert 0 < result.fidelity.score.drop <= most
        assert result.strategy.search is not None
        assert result.strategy.search.chosen is not None
        chosen.append(result.strategy.search.chosen.bits)
    assert chosen[0] > chosen[1] + 1


def test_an_interpreter_that_fails_in_a_metric_is_laid_at_its_door() -> None:
    """It is no failure of the calibration: the search is not thrown away for it."""

    def fails(_scored: Any) -> float:
        raise InterpreterFailure("it crashes")

    with pytest.raises(DataError, match=r"metric fails: .* cannot be run: it crashes"):
        cluster(FIXTURES / "fully_connected_float32.tflite", metric=fails, max_drop=0.1, measure=False, force=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "it gives nan, where a finite number"),
        ("misnamed", "gives the inputs .'picture'., and"),
    ],
)
def test_metrics_that_tell_nothing(function: str, words: str, module: str) -> None:
    with pytest.raises(DataError, match=words):
        run(data=f"{module}:labelled", metric=f"{module}:{function}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mean": 1.0, "data": "x"}, "mean and std go together"),
        ({"mean": 1.0, "std": 0.0, "data": "x"}, "std not 0"),
        ({"mean": 1.0, "std": 1.0}, "give data too"),
        ({"labels": "labels.csv"}, "give data too"),
        ({"metric": "a:b", "check": False}, "leave check on"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**given)
