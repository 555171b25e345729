"""The curve of size against fidelity: true of the model, word for word, and as its schema says."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import ConfigError, ModelError, Sweep, cluster, sweep
from tflite_cluster.api.sweep import SweepPoint
from tflite_cluster.cli import main
from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.report.sweep import print_sweep, sweep_json
from tflite_cluster.report.sweep_plot import write_plot
from tflite_cluster.search.quality import Quality

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema" / "sweep.schema.json").read_text(encoding="utf-8"))
DIGITS = ROOT / "examples" / "digits.tflite"
INT8 = FOLDER / "conv_2d_int8.tflite"
MADE = Sweep(
    source="model.tflite",
    basis="360 labelled samples from x.npz",
    synthetic=False,
    file_bytes=180_000,
    zip_bytes=166_000,
    points=tuple(
        SweepPoint(
            multiplier,
            False,
            2.0,
            14.0,
            size,
            166_000 / size,
            Quality(0.1, risk, 0.99, 20.0, Accuracy("", 400, 390, 389, 1, 0)),
            size == 23_000,
        )
        for multiplier, size, risk in ((0.1, 40_000, 0.01), (1.0, 23_000, 0.25), (4.0, 20_000, 0.9))
    ),
    floor=Quality(0.0, 0.0, 1.0, math.inf),
)


@pytest.mark.slow
@pytest.mark.parametrize("gates", [{}, {"min_sqnr": 15.0}])
def test_the_default_is_what_a_run_chooses_and_the_rest_lies_around_it(gates: dict[str, float]) -> None:
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        data = {name: samples[name][:40] for name in samples}
    curve = sweep(DIGITS, points=3, data=data, **gates)
    run = cluster(DIGITS, data=data, **gates)
    assert run.sizes is not None
    assert curve.default is not None
    assert curve.default.zip_bytes == run.sizes.zip9.after
    assert run.strategy.search is not None
    assert curve.default.quality == getattr(run.strategy.search.chosen, "quality")  # noqa: B009
    assert curve.zip_bytes == run.sizes.zip9.before
    assert len(curve.points) == 4
    assert all(one.zip_bytes >= other.zip_bytes for one, other in pairwise(curve.points))
    if not gates:  # a default that a gate allows to be coarse has no point that is much coarser
        assert curve.points[0].quality.held_out_sqnr > curve.points[-1].quality.held_out_sqnr + 3
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(sweep_json(curve), allow_nan=False)))


@pytest.mark.slow
def test_a_size_of_the_curve_can_be_asked_for() -> None:
    curve = sweep(INT8.read_bytes(), points=2)
    smallest = curve.points[-1]
    assert curve.synthetic
    assert smallest.options == f"--max-size {smallest.zip_bytes}"
    run = cluster(INT8, max_size=smallest.zip_bytes)
    assert run.sizes is not None
    assert run.sizes.zip9.after <= smallest.zip_bytes


def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_sweep(MADE)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "   Zip bytes  Times smaller  Bits/weight  Agreement %  Expected loss  Points lost  SQNR dB      Asked for by",
        "      40,000           4.15         2.00        99.00           0.01  0.25 ± 0.25     20.0  --max-size 40000",
        "→     23,000           7.22         2.00        99.00           0.25  0.25 ± 0.25     20.0",
        "      20,000           8.30         2.00        99.00           0.90  0.25 ± 0.25     20.0  --max-size 20000",
        "",
        "model.tflite: 166,000 bytes zipped; measured on 360 labelled samples from x.npz",
        "→ is the default's choice",
    ]


def test_in_words_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_sweep(MADE)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()][:3] == [
        "   Times smaller  Expected loss  Points lost  SQNR dB      Asked for by",
        "            4.15           0.01  0.25 ± 0.25     20.0  --max-size 40000",
        "→           7.22           0.25  0.25 ± 0.25     20.0",
    ]


@pytest.mark.slow
def test_json_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert main(["sweep", str(INT8), "--points", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert [point["default"] for point in report["points"]].count(True) == 1


def test_what_has_no_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(INT8), "--points", "1"]) == 2
    assert "--points must be between 2 and 100" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="leave out clusters"):
        sweep(INT8, clusters=8)
    with pytest.raises(ModelError, match="cannot be run: it needs the custom operator NobodyKnowsThis"):
        sweep(FOLDER / "custom_operator_float32.tflite")


@pytest.mark.slow
def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "curve.svg"
    write_plot(MADE, path)
    first = path.read_bytes()
    text = "".join(ElementTree.fromstring(first).itertext())
    assert all(words in text for words in ("model.tflite", "top-1 points lost", "expected loss, points", "SQNR in dB"))
    write_plot(MADE, path)
    assert path.read_bytes() == first
    command = ["sweep", str(INT8), "--points", "2", "--plot"]
    assert main([*command, str(path)]) == 2
    assert "curve.svg exists: use --force to replace it" in capsys.readouterr().err
    assert main([*command, str(path), "--force"]) == 0
    assert b"conv_2d_int8" in path.read_bytes()
    assert main([*command, str(tmp_path / "curve.PNG")]) == 0
    assert (tmp_path / "curve.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["curve", "curve.txt", "in.tflite", "missing/curve.svg"])
def test_a_picture_that_cannot_be_drawn(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(INT8), "--plot", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
