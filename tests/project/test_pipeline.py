"""What pipelines use: the hook, the action, rules for build tools, lines for logs, completion; run as they would be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tflite_cluster.cli import main

ROOT = Path(__file__).parents[2]
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
    with np.load(DIGITS.with_suffix(".samples.npz")) as samples:
        np.savez("samples.npz", x=samples["x"][:40], y=samples["y"][:40])
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


def test_a_model_that_cannot_be_read_hides_no_other(capsys: Captured) -> None:
    Path("nested").mkdir()
    Path("nested/cut.tflite").write_bytes(DIGITS.read_bytes()[:50_000])
    assert main(["check", "--max-zip", "10KB", "nested/cut.tflite", "model.tflite"]) == 3
    unreadable, broken = capsys.readouterr().err.splitlines()
    assert unreadable.startswith("tflite-cluster: error: ")
    assert "cut.tflite" in unreadable
    assert broken.startswith("model.tflite: max-zip: ")
    assert main(["check", "--max-zip", "10KB", "model.tflite", "nested/cut.tflite"]) == 3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
def test_the_hook_in_a_repository(folder: Path) -> None:
    """By pre-commit itself, but for installing: the program on the path is taken."""
    pytest.importorskip("pre_commit", reason="needs pre-commit")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    repository = folder / "repository"
    (repository / "models").mkdir(parents=True)
    shutil.copy(DIGITS, repository / "models" / "model.tflite")
    (repository / "notes.txt").write_text("no model")

    def commit_with(*limits: str) -> subprocess.CompletedProcess[str]:
        hooks = [hook | {"language": "system", "additional_dependencies": [], "args": [*limits]}]
        settings = yaml.safe_dump({"repos": [{"repo": "local", "hooks": hooks}]})
        (repository / ".pre-commit-config.yaml").write_text(settings)
        variables = os.environ | {"PRE_COMMIT_HOME": str(folder / "pre-commit"), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
        subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
        return subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)

    subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    held = commit_with("--max-zip", "1.5MB")
    assert held.returncode == 0, held.stdout + held.stderr
    assert "Passed" in held.stdout
    broken = commit_with("--max-zip", "10KB")
    assert broken.returncode == 1
    assert "models/model.tflite: max-zip: the zip takes" in broken.stdout
    assert "- exit code: 99" in broken.stdout
    assert "notes.txt" not in broken.stdout


def action_step(name: str, inputs: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as the runner does: its variables filled in, its script in bash."""
    (step,) = (
        each for each in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"] if each.get("id") == name
    )
    assert "${{" not in step["run"], "what is put into the script itself could be a command"
    given = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(ROOT)}
    filled = {name: given[re.findall(r"\{\{ (.+) \}\}", value)[0]] for name, value in step["env"].items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **filled, **variables}
    )


@pytest.mark.slow
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
    inputs["options"] += "\n--clusters 16\n"
    done = action_step("cluster", inputs, **variables)
    assert done.returncode == 0, done.stderr
    assert Path("smaller.tflite").stat().st_size == DIGITS.stat().st_size
    written = dict(line.split("=", 1) for line in results.read_text().splitlines())
    report = json.loads(Path(written["report"]).read_text())
    assert float(written["ratio"]) == round(report["sizes"]["zip9"]["ratio"], 2)
    assert {f"steps.cluster.outputs.{name}" in action["outputs"][name]["value"] for name in written} == {True}

    assert report["config"]["clusters"] == 16, "what stands in a second line counts as well"
    inputs["options"] = "--clusters 2 --data samples.npz --min-agreement 100"
    assert action_step("cluster", inputs, **variables).returncode == 99
    missed = results.read_text().splitlines()[-1].removeprefix("report=")
    assert missed != written["report"]
    assert json.loads(Path(missed).read_text())["written"] is False
    inputs["options"] = "--clusters 16 --no-run --no-sizes"
    assert action_step("cluster", inputs, **variables).returncode == 0

    inputs |= {"model": "$(touch harm)", "options": "--clusters 16; touch harm"}
    assert action_step("cluster", inputs, **variables).returncode != 0
    assert not Path("harm").exists()


def test_the_action_installs_the_extras_that_it_is_given(folder: Path) -> None:
    programs = folder / "tflite-cluster" / "bin"
    programs.mkdir(parents=True)
    (programs / "pip").write_text(f'#!/bin/sh\necho "$@" >> {folder}/installed.txt\n')
    (programs / "pip").chmod(0o755)
    for extras in ("", "images,report"):
        assert action_step("install", {"extras": extras}, RUNNER_TEMP=str(folder)).returncode == 0
    plain, extended = Path("installed.txt").read_text().splitlines()
    assert plain == f"install --quiet {ROOT}"
    assert extended == f"{plain}[images,report]"


def test_the_hook_installs_what_it_needs_without_the_interpreter(folder: Path) -> None:
    """In a process that can import nothing but these packages."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    option, *needed = hook["additional_dependencies"]
    assert option == "--no-deps"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [requirement for requirement in needed if f'"{requirement}",' not in project] == []
    names = {requirement.split(">=")[0] for requirement in needed}
    assert "ai-edge-litert" not in names
    script = """
import sys
before = set(sys.modules)
from importlib.metadata import packages_distributions
from tflite_cluster.cli import main
assert main(["check", "--max-zip", "1MB", "--max-values", "100000", "model.tflite"]) == 0
assert main(["check", "--max-zip", "10KB", "model.tflite"]) == 99
owners = packages_distributions()
used = {name.split(".")[0] for name in set(sys.modules) - before}
print(*{package for name in used for package in owners.get(name, [])} - {"tflite-cluster"})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)
    assert set(done.stdout.split()) <= names


@pytest.mark.slow
def test_make() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    Path("Makefile").write_text(block("make"))
    run("make", "model.small.tflite")
    assert Path("model.small.tflite").is_file()
    assert "up to date" in run("make", "model.small.tflite").stdout


@pytest.mark.slow
def test_cmake() -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not here")
    Path("CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.16)\nproject(models NONE)\n{block('cmake')}")
    run("cmake", "-S", ".", "-B", "build")
    run("cmake", "--build", "build")
    assert Path("build/smaller.tflite").is_file()


@pytest.mark.slow
def test_lines_for_logs(capsys: Captured) -> None:
    command = ["model.tflite", "out.tflite", "--data", "samples.npz", "--clusters", "8", "--log-json", "--quiet"]
    assert main(command) == 0
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.err.splitlines()]
    assert output.out == ""
    assert lines[-1]["outcome"] == "done"
    assert lines[-1]["zip9_ratio"] > 3
    assert lines[0]["plan"].startswith("calibrate on ")
    stages = [line["stage"] for line in lines[1:-1]]
    assert stages[0] == "Calibrating"
    assert len(stages) <= 2 * len(set(stages))
    assert main([*command, "--force", "--min-agreement", "100", "--clusters", "2"]) == 99
    *lines, message = capsys.readouterr().err.splitlines()
    assert json.loads(lines[-1])["outcome"] == "failed"
    assert message.startswith("tflite-cluster: error: ")
    assert main(["missing.tflite", "other.tflite", "--log-json"]) == 3
    line, message = capsys.readouterr().err.splitlines()
    assert json.loads(line)["outcome"] == "failed"
    assert json.loads(line)["error"] in message


@pytest.mark.slow
def test_lines_for_logs_are_as_described(capsys: Captured) -> None:
    plan, stage, outcome = (json.loads(line) for line in block("json").splitlines())
    assert main(["model.tflite", "out.tflite", "--clusters", "24", "--log-json", "--quiet"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert tuple(lines[0]) == tuple(plan)
    assert {tuple(line) for line in lines[1:-1]} == {tuple(stage)}
    assert tuple(lines[-1]) == tuple(outcome)


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_where_they_are_wanted(variables: dict[str, str], colours: bool) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    command = ["tflite-cluster", "model.tflite", "out.tflite", "--clusters", "8", "--no-run"]
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tflite-cluster --max", {"--max-size", "--max-drop"}),
        ("tflite-cluster swe", {"sweep", "swe"}),
        ("tflite-cluster sweep --po", {"--points"}),
        ("tflite-cluster check model.tflite --max-", {"--max-zip", "--max-values"}),
        ("tflite-cluster in.tflite out.tflite --sto", {"--store"}),
        ("tflite-cluster in.tflite out.tflite --clusters 8 --store in", {"int4", "int8"}),
    ],
)
def test_completion(line: str, expected: set[str]) -> None:
    command, *_ = re.findall(r"eval \"\$\((_TFLITE_CLUSTER_COMPLETE)=bash_source tflite-cluster\)\"", PAGE)
    assert "COMP_WORDS" in run("tflite-cluster", **{command: "bash_source"}).stdout
    place = str(len(line.split()) - 1)
    done = run("tflite-cluster", **{command: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": place})
    assert {item.split(",", 1)[1] for item in done.stdout.splitlines()} == expected
