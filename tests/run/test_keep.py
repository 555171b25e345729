"""Weights that are left alone because the user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tflite_cluster import ConfigError, cluster
from tflite_cluster.cli import main

DIGITS = Path(__file__).parents[2] / "examples" / "digits.tflite"


@pytest.mark.slow
@pytest.mark.parametrize("check", [True, False])
def test_what_fits_a_pattern_is_kept_and_nothing_else(check: bool) -> None:
    plain = cluster(DIGITS, clusters=16, run=False, measure=False)
    first, second = (tensor.name for tensor in plain.tensors[:2])
    kept = cluster(DIGITS, clusters=16, keep=[first, f"{second[:-1]}?"], check=check, measure=False)
    untouched = {tensor.name for tensor in kept.tensors if tensor.reason == "it was to be kept"}
    assert untouched == {first, second}
    assert {tensor.name for tensor in kept.tensors if tensor.clustered} == {
        tensor.name for tensor in plain.tensors if tensor.clustered
    } - untouched
    assert kept.model is not None
    before = DIGITS.read_bytes()
    for tensor in plain.tensors[:2]:
        assert tensor.span is not None
        span = slice(tensor.span.start, tensor.span.stop)
        assert kept.model[span] == before[span]


def test_patterns_that_fit_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(DIGITS), str(tmp_path / "out.tflite"), "--clusters", "8", "--no-run", "--no-sizes"]
    assert main([*command, "--keep", "nobody/*"]) == 2
    assert "--keep: 'nobody/*' fits no weight of digits.tflite" in capsys.readouterr().err
    assert main([*command, "--keep", "*"]) == 98
    with pytest.raises(ConfigError, match="several patterns"):
        cluster(DIGITS, keep="*")
