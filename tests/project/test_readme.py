"""Every command and every piece of Python in the README does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from tflite_cluster.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("tflite-cluster ")
]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README speaks of."""
    examples = ROOT / "examples"
    shutil.copytree(examples, tmp_path / "examples")
    shutil.copy(examples / "digits.tflite", tmp_path / "model.tflite")
    with np.load(examples / "digits.samples.npz") as samples:
        np.savez(tmp_path / "samples.npz", x=samples["x"][:40], y=samples["y"][:40])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, workplace: Path) -> None:
    if " diff " in command:
        shutil.copy(workplace / "model.tflite", workplace / "smaller.tflite")
    assert main(shlex.split(command)[1:]) == 0
    sizes = [(workplace / name).stat().st_size for name in ("smaller.tflite", "model.tflite")]
    assert sizes[0] < sizes[1] if "--store int8" in command else sizes[0] == sizes[1]


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 100


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_the_output_that_is_shown_is_that_of_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    (start,) = re.findall(r"^python3 -m venv .* && \.venv/bin/tflite-cluster (.*)$", README, re.M)
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.S)
    assert main(shlex.split(start)) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in shown.splitlines() if line not in printed] == []


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_python(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict[str, object] = {}
    exec(block, names)
    assert isinstance(names["smaller"], bytes)
    assert re.fullmatch(r"[\d.]+ times smaller, accuracy [+-][\d.]+ points\n", capsys.readouterr().out)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
