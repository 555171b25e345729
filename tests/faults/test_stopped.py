"""Signals, and processes that die, this one or its child: nothing half-written, the old output intact."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import COMMAND, LINUX_ONLY, Captured, contents
from support.fixture_models import FOLDER

from tflite_cluster import cluster
from tflite_cluster.cli import main

pytestmark = LINUX_ONLY


STAGES = [
    ("start", "SIGINT"),
    ("Calibrating", "SIGTERM"),
    ("Searching", "SIGINT"),
    ("Measuring", "SIGHUP"),  # by name: Windows does not have it
    ("Comparing", "SIGTERM"),
    ("Comparing --store int8", "SIGTERM"),
    ("Measuring --store int8", "SIGINT"),
]


SCRIPT = """
import os, sys, signal
from tflite_cluster import cli
from tflite_cluster.api import cluster as verb
(stage, *options), number = sys.argv[1].split(), int(sys.argv[2])
# These tests may themselves run under nohup or in the background, where signals are ignored, which is respected.
signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
real = verb.cluster
def told(name, done, total):
    if name == stage:
        os.kill(os.getpid(), number)
def cluster(*arguments, progress, **settings):
    if stage == "start":
        os.kill(os.getpid(), number)
    return real(*arguments, progress=told, **settings)
verb.cluster = cluster
sys.exit(cli.main(["in.tflite", "out.tflite", "--force", *options]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "stop"), STAGES)
def test_stopped_at_any_stage(stage: str, stop: str) -> None:
    """A signal to the process itself, sent where that stage tells of its progress."""
    shutil.copy(FOLDER / "conv_2d_float32.tflite", "in.tflite")
    before = contents()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, stage, str(int(signal.Signals[stop]))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.lstrip("\n")) == (1, "tflite-cluster: stopped; nothing was written\n")
    assert contents() == before


KILLED = [
    ("model/read.py", "_read", "--clusters 4", 0),
    ("calibration/gather.py", "moments", "--clusters 4", 1),
    ("search/allocation.py", "base_prices", "", 1),
    ("search/points.py", "furthest", "", 1),
    ("clustering/feedback.py", "assign", "--clusters 4", 1),
    ("model/storing/biases.py", "exact_biases", "--clusters 4 --store int8", 2),
    ("fidelity/check.py", "add", "--clusters 4 --store int8", 2),
    ("model/draft.py", "commit", "--clusters 4", 1),
    ("files.py", "commit report.json", "--clusters 4", 1),
    ("files.py", "commit recipe.toml", "--clusters 4", 1),
]
"""Where it is killed: a function of a file, with which destination; options; how many temporary files that leaves."""


@pytest.mark.slow
@pytest.mark.parametrize(("file", "function", "options", "left"), KILLED)
def test_killed_at_any_stage(file: str, function: str, options: str, left: int, folder: Path) -> None:
    """By a signal that nothing can be done about, sent as a function of that stage begins, in whichever thread."""
    shutil.copy(FOLDER / "conv_2d_float32.tflite", "in.tflite")
    for name in ("report.json", "recipe.toml"):
        Path(name).write_bytes(b"old")
    before = contents()
    script = """
import contextlib, os, sys, signal, threading
from pathlib import Path
from tflite_cluster import cli
file, (function, *names), options = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
def kill(frame, event, _):
    if frame.f_code.co_name == function and frame.f_code.co_filename.endswith(file):
        if not names or frame.f_locals["self"].destination.name in names:
            for task in Path("/proc/self/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends
                    sys.stdout.write((task / "children").read_text())
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
threading.settrace(kill)
sys.settrace(kill)
sys.exit(cli.main(["in.tflite", "out.tflite", "--force", "--quiet", *options]))
"""
    reports = ["--report", "report.json", "--save-recipe", "recipe.toml"]
    done = subprocess.run(
        [sys.executable, "-c", script, f"tflite_cluster/{file}", function, *options.split(), *reports],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    children = [int(child) for child in done.stdout.split()]
    is_over = file == "files.py"  # the session, and the model is in its place
    assert len(children) == (0 if is_over or file == "model/read.py" else 1)
    assert_end(children)
    after = contents()
    temporary = {name for name in after if name.startswith(".tflite-cluster-")}
    assert len(temporary) == left
    assert after.keys() - temporary == before.keys()
    changed = {name for name in before if after[name] != before[name]}
    assert changed == ({"out.tflite"} if is_over else set()) | ({"report.json"} if "recipe" in function else set())
    assert not is_over or len(after["out.tflite"]) == len(before["in.tflite"])
    assert main([*COMMAND, "--no-sizes", "-q"]) == 0
    assert contents().keys() == before.keys()


def assert_end(children: list[int]) -> None:
    """Those processes end by themselves, and soon."""
    deadline = time.monotonic() + 10
    while running := [child for child in children if is_running(child)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether it runs; not if it is only still to be waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_stopped_while_the_file_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its creation and all that is done with it."""
    before = contents()
    monkeypatch.setattr("fcntl.flock", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        cluster("in.tflite", "out.tflite", clusters=4, run=False, measure=False, force=True)
    assert contents() == before


def test_stopped_once_the_model_is_written(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("tflite_cluster.recipe.write.save_recipe", lambda *_: signal.raise_signal(signal.SIGINT))
    shutil.copy(FOLDER / "conv_2d_float32.tflite", "in.tflite")
    assert main([*COMMAND, "--save-recipe", "recipe.toml", "--quiet"]) == 1
    assert capsys.readouterr().err == "tflite-cluster: stopped; out.tflite was written\n"
    assert Path("out.tflite").read_bytes() != Path("in.tflite").read_bytes()


def test_a_function_that_exits(capsys: Captured) -> None:
    """As a script does that runs when it is imported: that is no success of ours."""
    Path("script_that_exits.py").write_text("import sys\nsys.exit(0)\n")
    assert main(["in.tflite", "new.tflite", "--clusters", "8", "--data", "script_that_exits:samples"]) == 2
    assert "script_that_exits:samples cannot be imported: SystemExit: 0" in capsys.readouterr().err


HARM = {
    "killed": "os.kill(os.getpid(), 9)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "hanging": "import time; time.sleep(600)",
    "memory": "x = [bytearray(1 << 28) for _ in range(64)]",
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_a_child_that_comes_to_harm(harm: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter in its place that does this: the model is clustered, and called not checked."""
    package = folder / "instead" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(f"import os\n{HARM[harm]}\n")
    monkeypatch.syspath_prepend(str(package.parent))
    limit = 2 if harm == "hanging" else 60
    result = cluster("in.tflite", "out.tflite", clusters=16, force=True, timeout=limit, memory=1 << 30, measure=False)
    assert result.fidelity.status == "not checked"
    words = {"killed": "SIGKILL", "segfault": "SIGSEGV", "hanging": "within 2 s", "memory": "needs more memory"}
    assert words[harm] in (result.fidelity.cause or "")
    assert contents().keys() == {"in.tflite", "out.tflite"}
