"""Two models compared on samples: the layer that was spoilt is found, and gates are judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tflite_cluster import cluster, compare
from tflite_cluster.cli import main

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
    assert json.loads(capsys.readouterr().out)["fidelity"]["passed"] is True
