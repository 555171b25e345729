"""Every gate is all that its record says: an option, a key of recipes, part of the schemas, and a limit that holds."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster import ConfigError, load_recipe
from tflite_cluster.cli import main
from tflite_cluster.config import Config, Settings
from tflite_cluster.fidelity.gate import Gate
from tflite_cluster.fidelity.gates import GATES, MAX_DROP, Gates
from tflite_cluster.search.quality import Quality

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "digits.tflite"
UNRUNNABLE = ROOT / "tests" / "fixtures" / "custom_operator_float32.tflite"
Captured = pytest.CaptureFixture[str]

STRICTEST = {"percent": 100.0, "dB": 200.0, "points": 0.0}
"""By unit: a limit that a model of two values in each tensor cannot keep."""

every_gate = pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)


def schema(name: str) -> Any:
    return json.loads((ROOT / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))


def test_settings_and_records_agree() -> None:
    """Config and Settings are written out for type checkers."""
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    names = [name for name in defaults if name in {gate.setting for gate in GATES}]
    assert names == [gate.setting for gate in GATES]
    for types in (Settings.__annotations__, Config.__annotations__):
        assert {getattr(types[name], "__forward_arg__", types[name]) for name in names} == {"float | None"}
    assert all(defaults[name] is None for name in names)


def test_names_are_their_own() -> None:
    assert len({gate.setting for gate in GATES}) == len(GATES)
    with pytest.raises(TypeError, match="no gate is called min_sqrn"):
        Gates(min_sqrn=3)


@every_gate
@pytest.mark.parametrize("command", [[], ["compare"]], ids=["cluster", "compare"])
def test_there_is_an_option(gate: Gate, command: list[str], capsys: Captured) -> None:
    assert main([*command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"{gate.option} {gate.metavar} {gate.limits if command else gate.seeks}" in text


@pytest.mark.slow
@every_gate
def test_a_recipe_holds_it(gate: Gate, tmp_path: Path) -> None:
    path, saved = tmp_path / "recipe.toml", tmp_path / "saved.toml"
    path.write_text(f"{gate.name} = 7\nclusters = 64\n")
    assert load_recipe(path)[gate.setting] == 7
    assert schema("recipe")["properties"][gate.name]["description"] == gate.meaning
    command = [str(EXAMPLE), str(tmp_path / "out.tflite"), "--recipe", str(path), "--save-recipe", str(saved)]
    assert main([*command, "--no-sizes", "--quiet"]) == 0
    assert load_recipe(saved)[gate.setting] == 7


def test_schemas_are_made_from_the_records() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_schemas.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@every_gate
def test_it_trips(gate: Gate, tmp_path: Path, capsys: Captured) -> None:
    out, report = tmp_path / "out.tflite", tmp_path / "report.json"
    limit = STRICTEST[gate.unit]
    command = [str(EXAMPLE), str(out), "--clusters", "2", gate.option, str(limit), "--report", str(report)]
    assert main([*command, "--no-sizes"]) == 99
    captured = capsys.readouterr()
    assert f"  gate {gate.name} FAILS: " in captured.out
    assert f"{gate.name} failed; no model was written" in captured.err
    assert not out.exists()
    found = json.loads(report.read_text(encoding="utf-8"))
    jsonschema.validate(found, schema("report"))
    (outcome,) = found["fidelity"]["gates"]
    assert (outcome["gate"], outcome["limit"], outcome["passed"]) == (gate.name, limit, False)
    assert outcome["measured"] is not None
    assert found["config"][gate.setting] == limit
    assert found["fidelity"]["verdict"] == "degraded"


@every_gate
def test_one_that_cannot_be_measured_fails(gate: Gate, tmp_path: Path, capsys: Captured) -> None:
    shutil.copy(UNRUNNABLE, tmp_path / "in.tflite")
    command = [str(tmp_path / "in.tflite"), str(tmp_path / "out.tflite"), gate.option, str(gate.least or 1)]
    assert main([*command, "--no-sizes", "--quiet"]) == 99
    assert f"{gate.name}: it cannot be measured: " in capsys.readouterr().err
    assert not (tmp_path / "out.tflite").exists()


@every_gate
@given(limit=st.floats())
def test_a_limit_is_refused_exactly_where_it_makes_no_sense(gate: Gate, limit: float) -> None:
    settings: Any = {gate.setting: limit}
    refusal = gate.refusal(limit)
    if refusal is None:
        jsonschema.validate(limit, schema("recipe")["properties"][gate.name])
        assert list(Config(**settings).gates) == [(gate, limit)]
    else:
        with pytest.raises(ConfigError) as raised:
            Config(**settings)
        assert str(raised.value) == f"{gate.setting} {refusal}"


@given(quality=st.tuples(st.floats(0, 1), st.floats(-50, 99), st.floats(0, 100)), limit=st.floats(0, 100))
def test_a_stricter_limit_is_never_easier_to_keep(quality: tuple[float, float, float], limit: float) -> None:
    agreement, sqnr, risk = quality
    candidate = Quality(0.1, risk, agreement, sqnr)
    for gate in GATES:
        strict = STRICTEST[gate.unit]
        assert gate.steers(candidate, limit, None) or not gate.steers(candidate, strict, None)


@given(drop=st.floats(-5, 5), limit=st.floats(0, 5))
def test_a_score_of_ones_own_takes_the_place_of_labels(drop: float, limit: float) -> None:
    candidate = Quality(0.1, 99.0, 1.0, 30.0)
    gates = Gates(max_drop=limit, min_sqnr=20)
    assert not gates.hold_for(candidate)
    assert gates.hold_for(candidate, lambda: drop) == (drop <= limit)
    assert gates.by_metric is MAX_DROP

    def never() -> float:
        raise AssertionError("a score takes long, and another gate fails already")

    assert not Gates(max_drop=limit, min_sqnr=40).hold_for(candidate, never)
    assert Gates(min_sqnr=20).hold_for(candidate, never)
