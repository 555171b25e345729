"""What pipelines use: the hook, the action, rules for build tools, lines for logs, completion; run as they would be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tflite_cluster.cli import main

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits.tflite"
PAGE = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
PROGRAM = (
    f'#!/bin/sh\nexec {sys.executable} -c "import sys; from tflite_cluster.cli import main; sys.exit(main())" "$@"\n'
)
Captured = pytest.CaptureFixture[str]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="run by a shell")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its samples, and the program on the path."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DIGITS, "model.tflite")
    shutil.copy(DIGITS.with_suffix(".samples.npz"), "samples.npz")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "tflite-cluster").write_text(PROGRAM)
    (programs / "tflite-cluster").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_hook_is_given_all_models_at_once(capsys: Captured) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (configured,) = yaml.safe_load(re.findall(r"```yaml\n(repos:.*?)```", PAGE, re.S)[0])["repos"][0]["hooks"]
    assert hook["id"] == configured["id"]
    assert re.search(hook["files"], "models/model.tflite")
    program, *arguments = [*hook["entry"].split(), *configured["args"]]
    assert program == "tflite-cluster"
    shutil.copy("model.tflite", "second.tflite")
    assert main([*arguments, "model.tflite", "second.tflite"]) == 0
    capsys.readouterr()
    assert main(["check", "--max-zip", "10KB", "model.tflite", "second.tflite"]) == 99
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["model.tflite", "second.tflite"]


def action_step(number: int, inputs: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as the runner does: its variables filled in, its script in bash."""
    step = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"][number]
    assert "${{" not in step["run"], "what is put into the script itself could be a command"
    filled = {name: inputs[re.findall(r"inputs\.(\w+)", value)[0]] for name, value in step["env"].items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **filled, **variables}
    )


def test_the_action(folder: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (used,) = (
        step
        for step in yaml.safe_load(re.findall(r"```yaml\n(steps:.*?)```", PAGE, re.S)[0])["steps"]
        if "with" in step
    )
    inputs = {name: given.get("default") for name, given in action["inputs"].items()} | used["with"]
    programs = folder / "tflite-cluster" / "bin"  # in place of what the first step installs
    programs.mkdir(parents=True)
    shutil.copy(folder / "programs" / "tflite-cluster", programs)
    (programs / "python").symlink_to(sys.executable)
    results = folder / "results.txt"
    variables = {"RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(results)}
    inputs["options"] += " --clusters 16"
    done = action_step(1, inputs, **variables)
    assert done.returncode == 0, done.stderr
    assert Path("smaller.tflite").stat().st_size == DIGITS.stat().st_size
    written = dict(line.split("=", 1) for line in results.read_text().splitlines())
    report = json.loads(Path(written["report"]).read_text())
    assert float(written["ratio"]) == round(report["sizes"]["zip9"]["ratio"], 2)
    assert {f"steps.cluster.outputs.{name}" in action["outputs"][name]["value"] for name in written} == {True}

    inputs |= {"model": "$(touch harm)", "options": "--clusters 16; touch harm"}
    assert action_step(1, inputs, **variables).returncode != 0
    assert not Path("harm").exists()


def test_make() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    Path("Makefile").write_text(block("make"))
    run("make", "model.small.tflite")
    assert Path("model.small.tflite").is_file()
    assert "up to date" in run("make", "model.small.tflite").stdout


def test_cmake() -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not here")
    Path("CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.16)\nproject(models NONE)\n{block('cmake')}")
    run("cmake", "-S", ".", "-B", "build")
    run("cmake", "--build", "build")
    assert Path("build/smaller.tflite").is_file()


def test_lines_for_logs(capsys: Captured) -> None:
    command = ["model.tflite", "out.tflite", "--data", "samples.npz", "--clusters", "8", "--log-json", "--quiet"]
    assert main(command) == 0
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.err.splitlines()]
    assert output.out == ""
    assert lines[-1]["outcome"] == "done"
    assert lines[-1]["zip9_ratio"] > 3
    stages = [line["stage"] for line in lines[:-1]]
    assert stages[0] == "Calibrating"
    assert len(stages) <= 2 * len(set(stages))
    assert main([*command, "--force", "--min-agreement", "100", "--clusters", "2"]) == 99
    *lines, message = capsys.readouterr().err.splitlines()
    assert json.loads(lines[-1])["outcome"] == "failed"
    assert message.startswith("tflite-cluster: error: ")


@pytest.mark.parametrize(("variables", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_where_they_are_wanted(variables: dict[str, str], colours: bool) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    command = ["tflite-cluster", "model.tflite", "out.tflite", "--clusters", "8", "--no-check"]
    subprocess.run(command, stdout=child, check=True, env={**os.environ, "TERM": "xterm-256color", **variables})
    os.close(child)
    text = b""
    try:
        while part := os.read(parent, 1 << 16):
            text += part
    except OSError:  # all is read
        pass
    os.close(parent)
    assert b"not checked, as asked" in text
    assert (b"\x1b[33m" in text) is colours


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tflite-cluster --max", {"--max-size", "--max-drop"}),
        ("tflite-cluster swe", {"sweep", "swe"}),
        ("tflite-cluster sweep --po", {"--points"}),
        ("tflite-cluster check model.tflite --max-", {"--max-zip", "--max-values"}),
        ("tflite-cluster in.tflite out.tflite --sto", {"--store"}),
        ("tflite-cluster in.tflite out.tflite --clusters 8 --store in", {"int8"}),
    ],
)
def test_completion(line: str, expected: set[str]) -> None:
    command, *_ = re.findall(r"eval \"\$\((_TFLITE_CLUSTER_COMPLETE)=bash_source tflite-cluster\)\"", PAGE)
    assert "COMP_WORDS" in run("tflite-cluster", **{command: "bash_source"}).stdout
    place = str(len(line.split()) - 1)
    done = run("tflite-cluster", **{command: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": place})
    assert {item.split(",", 1)[1] for item in done.stdout.splitlines()} == expected
