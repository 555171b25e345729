"""Two models compared on samples: the layer that was spoilt is found, and gates are judged."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from support.fixture_models import FOLDER

from tflite_cluster import Comparison, ConfigError, cluster, compare
from tflite_cluster.api.compare import LayerComparison
from tflite_cluster.calibration.moments import Probe
from tflite_cluster.cli import main
from tflite_cluster.fidelity.gates import Gates
from tflite_cluster.fidelity.judge import judge
from tflite_cluster.fidelity.verdict import Fidelity, NoiseFloor, OutputFidelity
from tflite_cluster.report.comparison import comparison_json, render_comparison
from tflite_cluster.report.tables import print_fitted

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema" / "comparison.schema.json").read_text(encoding="utf-8"))
REPORT: dict[str, Any] = json.loads((ROOT / "schema" / "report.schema.json").read_text(encoding="utf-8"))
GOLDEN = Path(__file__).parents[1] / "report" / "golden"
OUTPUT = OutputFidelity(
    signature="encode",
    name="output_0",
    samples=32,
    real=True,
    sqnr_db=18.25,
    cosine=0.9912,
    max_abs_error=0.5,
    rmse=0.1,
)
FIDELITY = Fidelity(
    "checked",
    basis="32 samples from x.npz",
    outputs=(OUTPUT,),
    noise_floor=NoiseFloor(8, (replace(OUTPUT, samples=8, sqnr_db=107.4),)),
)
PREFIX = "functional_1/a_block_with_a_long_name/batch_normalization"
MADE = Comparison(
    "before.tflite",
    "after.tflite",
    judge(FIDELITY, Gates(min_sqnr=20.0)),
    (
        LayerComparison("encode", "CONV_2D", f"{PREFIX}_1/conv/Relu;bias", 21.5, 0.708),
        LayerComparison("encode", "ADD", f"{PREFIX}_2/add/\x1b[31m", 21.75, -0.04),
        LayerComparison("decode", "BATCH_MATMUL", f"{PREFIX}_3/matmul", math.inf, 0.0),
        LayerComparison("decode", "SUB", f"{PREFIX}_3/silent", -math.inf, 100.0),
    ),
    ("signature 'decode': only 2 of 5 layers have an output of the same name and shape in after.tflite",),
)

DIGITS = ROOT / "examples" / "digits.tflite"


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3])
def test_the_layer_that_was_spoilt_is_found(number: int) -> None:
    weights = cluster(DIGITS, clusters=16, run=False, measure=False).tensors
    keep = [tensor.name for place, tensor in enumerate(weights[:7]) if place != number]
    spoilt = cluster(DIGITS, clusters=3, keep=keep, run=False, measure=False).model
    assert spoilt is not None
    found = compare(DIGITS, spoilt)  # on its samples: noise hardly varies behind a pool, so that all error looks large
    differing = [layer for layer in found.layers if layer.sqnr < 100]
    assert found.worst == differing[0]
    assert compare(DIGITS, DIGITS).worst is None


@pytest.mark.slow
def test_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.tflite"
    cluster(DIGITS, path, clusters=4, run=False, measure=False)
    assert main(["compare", str(DIGITS), str(path), "--min-sqnr", "90"]) == 99
    assert "The error grows most in" in capsys.readouterr().out
    assert main(["compare", str(DIGITS), str(path), "--min-sqnr", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert found["fidelity"]["passed"] is True
    assert (found["first"], found["second"], found["notes"]) == ("digits.tflite", "b.tflite", [])


def test_the_schema_is_that_of_the_report_where_both_say_the_same() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    ours = {name: content for name, content in SCHEMA["$defs"].items() if name != "layer"}
    assert ours == {name: REPORT["$defs"][name] for name in ours}
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(comparison_json(MADE), allow_nan=False)))


@pytest.mark.parametrize("width", [80, 100_000])
def test_golden_text(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_fitted(console, render_comparison(MADE, width))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    text = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    golden = GOLDEN / ("comparison.txt" if width > 80 else f"comparison_{width}.txt")
    if os.environ.get("TFLITE_CLUSTER_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= width


def test_layers_that_cannot_be_read_are_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tflite_cluster.api.compare.probe_of", lambda _: Probe(0, 10_000))
    found = compare(DIGITS, DIGITS)
    assert found.fidelity.status == "checked"
    assert found.layers == ()
    (note,) = found.notes
    assert note.startswith("the layers cannot be read: the interpreter refuses it")


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_process_that_dies_over_the_layers_is_the_reason_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tflite_cluster.api.compare.observe", die)
    (note,) = compare(DIGITS, DIGITS).notes
    assert "the layers cannot be read: the interpreter's process is killed" in note


@pytest.mark.slow
def test_a_model_with_codes_is_compared_layer_by_layer(tmp_path: Path) -> None:
    """Its operators and tensors have other numbers, and the same names."""
    same, stored = (
        cluster(DIGITS, tmp_path / f"{store}.tflite", clusters=16, run=False, measure=False, store=store)  # type: ignore[arg-type]
        for store in ("same", "int8")
    )
    plain, codes = (compare(DIGITS, result.destination) for result in (same, stored))  # type: ignore[arg-type]
    assert [layer.tensor for layer in codes.layers] == [layer.tensor for layer in plain.layers]
    assert codes.notes == ()
    assert codes.worst is not None


def test_layers_of_other_names_are_accounted_for() -> None:
    content = DIGITS.read_bytes()
    data = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    layers = compare(content, content, data=data).layers
    renamed = content.replace(layers[0].tensor.encode(), b"?" * len(layers[0].tensor))
    found = compare(content, renamed, data=data)
    assert found.layers == layers[1:]
    told = (
        f"only {len(layers) - 1} of {len(layers)} layers have an output of the same name and shape in the given bytes"
    )
    assert found.notes == (told,)


def test_graphs_that_differ_are_compared_where_they_meet() -> None:
    found = compare(FOLDER / "conv_2d_float32.tflite", FOLDER / "conv_2d_float16.tflite")
    assert [layer.operator for layer in found.layers] == ["CONV_2D"]
    assert 60 < found.layers[0].sqnr < 90
    assert found.notes == ()


@pytest.mark.slow
def test_a_constant_that_is_unpacked_is_no_layer() -> None:
    found = compare(FOLDER / "conv_2d_float16.tflite", FOLDER / "conv_2d_float16.tflite")
    assert [layer.operator for layer in found.layers] == ["CONV_2D"]


def test_what_is_not_finite_in_both_is_the_same() -> None:
    found = compare(FOLDER / "not_finite_float32.tflite", FOLDER / "not_finite_float32.tflite")
    assert {layer.sqnr for layer in found.layers} == {math.inf}


def test_without_layers_it_says_so() -> None:
    found = compare(FOLDER / "while_body_float32.tflite", FOLDER / "while_body_float32.tflite")
    assert found.notes == ("there is no layer whose output could be read as numbers",)


@pytest.mark.parametrize(
    "setting",
    [{"clusters": 8}, {"keep": ["*"]}, {"max_size": "2x"}, {"force": True}, {"measure": False}, {"coders": ("xz",)}],
)
def test_settings_without_effect_are_refused(setting: Any) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"leave out {name}: a comparison neither clusters nor writes"):
        compare(DIGITS, DIGITS, **setting)
    with pytest.raises(ConfigError, match="a comparison needs the models to be run"):
        compare(DIGITS, DIGITS, check=False)
    with pytest.raises(ConfigError, match="a comparison needs the models to be run: leave run on"):
        compare(DIGITS, DIGITS, run=False)
