"""Two models compared on samples: the layer that was spoilt is found, and gates are judged."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from fixture_models import FOLDER

from tflite_cluster import ConfigError, cluster, compare
from tflite_cluster.cli import main
from tflite_cluster.model.read import open_model

SCHEMA = json.loads((Path(__file__).parents[1] / "schema" / "comparison.schema.json").read_text(encoding="utf-8"))
DIGITS = Path(__file__).parents[1] / "examples" / "digits.tflite"


@pytest.mark.parametrize("number", [1, 3])
def test_the_layer_that_was_spoilt_is_found(number: int) -> None:
    weights = cluster(DIGITS, clusters=16, check=False, measure=False).tensors
    keep = [tensor.name for place, tensor in enumerate(weights[:7]) if place != number]
    spoilt = cluster(DIGITS, clusters=3, keep=keep, check=False, measure=False).model
    assert spoilt is not None
    found = compare(DIGITS, spoilt, data=np.random.default_rng(0).random((8, 8, 8, 1), np.float32))
    differing = [layer for layer in found.layers if layer.sqnr < 100]
    assert found.worst == differing[0]
    assert compare(DIGITS, DIGITS).worst is None


def test_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.tflite"
    cluster(DIGITS, path, clusters=4, check=False, measure=False)
    assert main(["compare", str(DIGITS), str(path), "--min-sqnr", "90"]) == 99
    assert "The error grows most in" in capsys.readouterr().out
    assert main(["compare", str(DIGITS), str(path), "--min-sqnr", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["fidelity"]["passed"] is True
    assert found["layers"]


def test_a_model_with_codes_is_compared_layer_by_layer(tmp_path: Path) -> None:
    """Its operators and tensors have other numbers, and the same names."""
    same, stored = (
        cluster(DIGITS, tmp_path / f"{store}.tflite", clusters=16, check=False, measure=False, store=store)  # type: ignore[arg-type]
        for store in ("same", "int8")
    )
    plain, codes = (compare(DIGITS, result.destination) for result in (same, stored))  # type: ignore[arg-type]
    assert {layer.tensor for layer in codes.layers} == {layer.tensor for layer in plain.layers}
    assert codes.notes == ()
    assert codes.worst is not None


def test_models_without_a_layer_in_common(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    content = bytearray((FOLDER / "conv_2d_float32.tflite").read_bytes())
    (subgraph,) = open_model(bytes(content)).subgraphs
    for operator in subgraph.operators:
        content[content.index(subgraph.tensors[operator.outputs[0]].name.encode() + b"\0")] ^= 2
    (tmp_path / "other.tflite").write_bytes(content)
    assert main(["compare", str(FOLDER / "conv_2d_float32.tflite"), str(tmp_path / "other.tflite")]) == 0
    printed = capsys.readouterr().out
    assert "no layers are compared: no operator's output has the same name" in printed


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_layers_that_cannot_be_read_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tflite_cluster.comparison.observe", die)
    found = compare(DIGITS, DIGITS)
    assert found.layers == ()
    assert len(found.notes) == 1
    assert "the layers cannot be read: the interpreter's process is killed" in found.notes[0]


def test_settings_of_clustering_are_refused() -> None:
    with pytest.raises(ConfigError, match="clusters is about clustering"):
        compare(DIGITS, DIGITS, clusters=8)
