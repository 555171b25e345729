"""What is inside a model: figures that can be worked out otherwise, texts word for word, and limits as a gate."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from support.metadata import metadata, with_metadata
from support.operators import two_dense

from tflite_cluster import ConfigError, ModelError, ValueRange, check_limits, cluster, inspect
from tflite_cluster.api.inspect import _entropy, _run_lengths
from tflite_cluster.api.interfaces import inputs_and_outputs
from tflite_cluster.cli import main
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.report.inspection_json import to_json
from tflite_cluster.report.inspection_text import render
from tflite_cluster.report.tables import print_fitted

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
GOLDEN = Path(__file__).parents[1] / "report" / "golden"
EXAMPLE = ROOT / "examples" / "digits.tflite"
SCHEMA = json.loads((ROOT / "schema" / "inspection.schema.json").read_text(encoding="utf-8"))
MODELS = sorted(FIXTURES.glob("*.tflite"))
SHOWN = [
    "conv_2d_int8",
    "fully_connected_blockwise_int4",
    "sparse_densify_float32",
    "four_values_float32",
    "not_finite_float32",
    "shared_buffer_float32",
    "custom_operator_float32",
    "labels_behind_float32",
]
Captured = pytest.CaptureFixture[str]


def shown(path: Path, width: int) -> str:
    """The text, with figures of compression that do not depend on the zlib at hand."""
    found = inspect(path, measure=False)
    weights = tuple(replace(weight, deflated=weight.entropy + 1) for weight in found.weights)
    found = replace(found, sizes={"zip9": found.file_bytes // 2}, weights=weights)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_fitted(console, render(found, width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


@pytest.mark.parametrize("name", SHOWN)
def test_golden_text(name: str) -> None:
    text = shown(FIXTURES / f"{name}.tflite", 80)
    golden = GOLDEN / f"inspect_{name}.txt"
    if os.environ.get("TFLITE_CLUSTER_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "name", ["two_signatures_float32", "conv_2d_int8", "tied_embedding_float32", "embedding_lookup_float32"]
)
def test_inputs_and_outputs_are_those_of_the_interpreter(name: str) -> None:
    found = inspect(FIXTURES / f"{name}.tflite", measure=False)
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        signatures = process.call(describe, FIXTURES / f"{name}.tflite").signatures
    expected = [(each.key, spec) for each in signatures for spec in each.inputs]
    assert {(one.signature, one.name, one.shape, one.type) for one in found.inputs} == {
        (key, spec.name, spec.shape_signature, spec.dtype.name.upper()) for key, spec in expected
    }
    assert {(one.signature, one.name) for one in found.outputs} == {
        (each.key, spec.name) for each in signatures for spec in each.outputs
    }
    for one in found.inputs:
        spec = next(spec for key, spec in expected if (key, spec.name) == (one.signature, one.name))
        if spec.quantised:
            limits = np.iinfo(spec.dtype)
            ends = spec.dequantise(np.array([limits.min, limits.max]))
            assert one.range == ValueRange(*ends, "quantisation")


def test_what_inputs_get_without_data() -> None:
    words = {one.name: one.synthetic for one in inspect(EXAMPLE, measure=False).inputs}
    assert words == {"image": "smooth noise, in the range that suits the first layers"}
    sizes = (1, 40, 10, 1)
    layers = (np.ones((4, 400)), np.zeros(4)), (np.ones((2, 4)), np.zeros(2))
    (one,) = inspect(two_dense(*layers, shape=sizes), measure=False).inputs
    assert one.synthetic == "smooth noise or cepstra, whichever suits the first layers"
    (one,) = inspect(FIXTURES / "embedding_lookup_float32.tflite", measure=False).inputs
    assert one.range is not None
    assert one.synthetic == f"whole numbers from 0 to {one.range.high:g} at random"


def test_the_range_of_pixels_is_that_of_the_metadata() -> None:
    inputs, _ = inputs_and_outputs(with_metadata(metadata([127.5], [127.5])), has_weights=True)
    assert inputs[0].range == ValueRange(-1.0, 1.0, "metadata")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_fits_the_schema_and_adds_up(path: Path) -> None:
    found = inspect(path, measure=False)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(to_json(found), allow_nan=False)))
    assert found.zip_bytes is None
    for totals in (found.by_operator, found.by_type):
        assert sum(total.tensors for total in totals) == len(found.weights)
        assert sum(total.bytes for total in totals) == sum(weight.bytes for weight in found.weights)
    weights, others = select(open_model(path))
    assert [weight.name for weight in found.weights] == [weight.tensor.name for weight in weights]
    assert len(found.constants) == len(others)
    assert sum(each.bytes for each in (*found.weights, *found.constants)) < found.file_bytes


@pytest.mark.parametrize("name", ["conv_2d_float32", "conv_2d_int8", "fully_connected_odd_int4"])
def test_figures_of_a_weight(name: str) -> None:
    model = open_model(FIXTURES / f"{name}.tflite")
    (weight, *_), _ = select(model)
    codes = weight.codes(model)
    found = inspect(FIXTURES / f"{name}.tflite").weights[0]
    counts = Counter(codes.tolist())
    assert found.values == len(counts)
    assert found.entropy == pytest.approx(-sum(n / len(codes) * math.log2(n / len(codes)) for n in counts.values()))
    rows = np.reshape(codes, weight.tensor.shape)  # output channels come first in these
    assert found.values_per_channel == np.median([len(set(row.ravel().tolist())) for row in rows])
    assert found.share == found.bytes / model.size


@given(st.lists(st.integers(-5, 5), min_size=1))
def test_entropy_is_that_of_the_frequencies(values: list[int]) -> None:
    counts = _run_lengths(np.sort(np.array(values)))
    assert counts.tolist() == [values.count(value) for value in sorted(set(values))]
    assert 0 <= _entropy(counts) <= math.log2(len(counts)) + 1e-9


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(2, 64))
def test_a_clustered_model_is_recognised(clusters: int) -> None:
    result = cluster(EXAMPLE, clusters=clusters, run=False, measure=False, force=True)
    assert result.model is not None
    found = inspect(result.model, measure=False)
    assert found.already_clustered
    assert found.most_values <= clusters
    assert f"at most {found.most_values} values in every tensor" in str(render(found)[-1])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_that_never_was_clustered_is_not_taken_for_one(path: Path) -> None:
    assert inspect(path, measure=False).already_clustered == (path.stem == "four_values_float32")


@pytest.mark.slow
def test_reasons_are_those_of_clustering() -> None:
    for path in MODELS:
        found = inspect(path, measure=False)
        result = cluster(path, clusters=2, run=False, measure=False, force=True)
        for weight, tensor in zip(found.weights, result.tensors, strict=False):
            if weight.reason is not None:
                assert tensor.reason in (weight.reason, "it has no more than 2 distinct values"), path


def test_names_steer_no_terminal(tmp_path: Path, capsys: Captured) -> None:
    content = EXAMPLE.read_bytes()
    name = inspect(content, measure=False).weights[0].name
    path = tmp_path / "evil.tflite"
    path.write_bytes(content.replace(name.encode(), b"\x1b[31m" + name.encode()[5:]))
    assert main(["inspect", str(path)]) == 0
    assert main(["check", str(path), "--max-values", "1"]) == 99
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err


def test_bytes_and_files_give_the_same() -> None:
    of_bytes, of_file = to_json(inspect(EXAMPLE.read_bytes())), to_json(inspect(EXAMPLE))
    assert {**of_bytes, "source": ""} == {**of_file, "source": ""}


def test_command_in_words_and_in_json(capsys: Captured) -> None:
    assert main(["inspect", str(EXAMPLE), "--no-sizes"]) == 0
    text = capsys.readouterr().out
    assert "zip" not in text
    assert "Would be clustered" in text
    assert main(["inspect", str(EXAMPLE), "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report == to_json(inspect(EXAMPLE))


def test_it_is_quick_and_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no process is to be started")

    monkeypatch.setattr("subprocess.Popen", refuse)
    begun = time.monotonic()
    inspect(EXAMPLE)
    assert time.monotonic() - begun < 5


def test_limits_that_hold(capsys: Captured) -> None:
    size = inspect(EXAMPLE).zip_bytes
    assert main(["check", str(EXAMPLE), "--max-zip", f"{size}B", "--max-values", "1000000"]) == 0
    assert capsys.readouterr() == ("", "")


def test_limits_that_do_not_hold(capsys: Captured) -> None:
    assert main(["check", str(EXAMPLE), "--max-zip", "10KB", "--max-values", "32"]) == 99
    out, err = capsys.readouterr()
    of_zip, of_values = err.splitlines()
    assert out == ""
    assert "max-zip" in of_zip
    assert "--max-size 10000" in of_zip
    assert "max-values" in of_values
    assert "--clusters 32" in of_values
    assert any(f"'{weight.name}'" in of_values for weight in inspect(EXAMPLE).weights)


def test_the_remedy_heals(tmp_path: Path) -> None:
    (violation,) = check_limits(EXAMPLE, max_values=16)
    assert violation.measured > violation.limit == 16
    cluster(EXAMPLE, tmp_path / "out.tflite", clusters=16, run=False)
    assert check_limits(tmp_path / "out.tflite", max_values=16) == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --max-zip or --max-values"),
        (["--max-zip", "big"], "--max-zip: 'big' is not a size"),
        (["--max-values", "0"], "--max-values must be at least 1"),
    ],
)
def test_limits_that_make_no_sense(arguments: list[str], words: str, capsys: Captured) -> None:
    assert main(["check", str(EXAMPLE), *arguments]) == ConfigError.exit_code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [["inspect"], ["check", "--max-values", "3"]])
def test_damaged_models_are_refused(command: list[str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    shutil.copy(EXAMPLE, cut)
    os.truncate(cut, 50_000)
    assert main([command[0], str(cut), *command[1:]]) == ModelError.exit_code
    with pytest.raises(ModelError):
        inspect(cut)
