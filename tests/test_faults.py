"""Disks that are full, signals, processes that die: nothing half-written, nothing left over, the old output intact."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from fixture_models import FOLDER

from tflite_cluster import ModelError, OutputError, cluster
from tflite_cluster.cli import main
from tflite_cluster.files import NewFile, temporary_folder, write_text

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-c", "import sys; from tflite_cluster.cli import main; sys.exit(main())"]
COMMAND = ["in.tflite", "out.tflite", "--clusters", "16", "--no-check", "--force"]
Captured = pytest.CaptureFixture[str]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="made to happen by means of Linux")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(ROOT / "examples" / "digits.tflite", "in.tflite")
    Path("out.tflite").write_bytes(b"old")
    return tmp_path


def contents(folder: Path = Path()) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of 64 KB, which the model does not fit on, or of as many as the test says."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = getattr(request, "param", 64)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", disk]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk(small_disk: Path, capsys: Captured) -> None:
    (small_disk / "out.tflite").write_bytes(b"old")
    assert main(["in.tflite", str(small_disk / "out.tflite"), *COMMAND[2:]]) == 1
    message = capsys.readouterr().err
    assert message.endswith("out.tflite cannot be written: No space left on device; nothing was changed\n")
    assert message.count("\n") == 1
    assert contents(small_disk) == {"out.tflite": b"old"}


@pytest.mark.parametrize("small_disk", [192], indirect=True)
def test_a_full_disk_for_the_codes(small_disk: Path, capsys: Captured) -> None:
    """There is room for a copy, and none for the file with codes that is made of it."""
    (small_disk / "out.tflite").write_bytes(b"old")
    assert main(["in.tflite", str(small_disk / "out.tflite"), *COMMAND[2:]]) == 0
    (small_disk / "out.tflite").write_bytes(b"old")
    assert main(["in.tflite", str(small_disk / "out.tflite"), *COMMAND[2:], "--store", "int8"]) == 1
    assert "out.tflite cannot be written: No space left on device; nothing was changed" in capsys.readouterr().err
    assert contents(small_disk) == {"out.tflite": b"old"}


def test_a_full_disk_for_the_report(small_disk: Path, capsys: Captured) -> None:
    """The model was written by then, and the old report stays whole."""
    report = small_disk / "report.json"
    report.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "ballast").write_bytes(bytes(1 << 20))
    assert main([*COMMAND, "--no-sizes", "--report", str(report)]) == 1
    assert "report.json cannot be written: No space left on device" in capsys.readouterr().err
    assert report.read_bytes() == b"old"
    assert {path.name for path in small_disk.iterdir()} == {"report.json", "ballast"}


def test_a_limit_on_the_length_of_files() -> None:
    """Needs no right to mount anything."""
    resource = pytest.importorskip("resource")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    before = contents()
    done = subprocess.run([*PROGRAM, *COMMAND], preexec_fn=limit, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "out.tflite cannot be written: File too large; nothing was changed" in done.stderr
    assert contents() == before


def without_privileges() -> None:
    """For root too, whom else nothing is forbidden: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are lost at the exec."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)


@pytest.mark.parametrize(("what", "code"), [("input", 3), ("folder", 1)])
def test_no_permission(what: str, code: int, folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir()
    shutil.copy("in.tflite", closed)
    (closed / "in.tflite").chmod(0 if what == "input" else 0o644)
    closed.chmod(0o555)
    command = [*PROGRAM, "closed/in.tflite", "closed/out.tflite", *COMMAND[2:]]
    done = subprocess.run(command, preexec_fn=without_privileges, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert "Permission denied" in done.stderr
    assert [path.name for path in closed.iterdir()] == ["in.tflite"]


@pytest.mark.parametrize("command", ["inspect {}", "check {} --max-values 9", "in.tflite new.tflite --data {}"])
def test_no_permission_to_read(command: str, folder: Path) -> None:
    shutil.copy("in.tflite", "closed.npz")
    Path("closed.npz").chmod(0)
    words = command.format("closed.npz").split()
    done = subprocess.run(
        [*PROGRAM, *words], preexec_fn=without_privileges, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "closed.npz" in done.stderr
    assert "Permission denied" in done.stderr
    assert not (folder / "new.tflite").exists()


STAGES = [
    ("start", "SIGINT"),
    ("Calibrating", "SIGTERM"),
    ("Searching", "SIGINT"),
    ("Measuring", "SIGHUP"),  # by name: Windows does not have it
    ("check", "SIGTERM"),
    ("check --store int8", "SIGTERM"),
    ("Measuring --store int8", "SIGINT"),
]


SCRIPT = """
import os, sys, signal
from tflite_cluster import cli, api
(stage, *options), number = sys.argv[1].split(), int(sys.argv[2])
if number != signal.SIGINT:
    signal.signal(number, signal.SIG_DFL)  # these tests may themselves run under nohup, which is respected
real = api.cluster
def told(name, done, total):
    if name == stage:
        os.kill(os.getpid(), number)
def cluster(*arguments, progress, **settings):
    if stage == "start":
        os.kill(os.getpid(), number)
    return real(*arguments, progress=told, **settings)
api.cluster = cluster
sys.exit(cli.main(["in.tflite", "out.tflite", "--force", *options]))
"""


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
        cluster("in.tflite", "out.tflite", clusters=4, check=False, measure=False, force=True)
    assert contents() == before


def killed_in_the_middle(folder: Path) -> None:
    with subprocess.Popen([*PROGRAM, "in.tflite", "out.tflite", "--force"], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in folder.glob(".tflite-cluster-*")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()


def test_what_a_killed_process_left_goes_with_the_next_run(folder: Path) -> None:
    before = contents()
    killed_in_the_middle(folder)
    assert len(contents()) == len(before) + 1
    assert contents()["out.tflite"] == b"old"
    assert main([*COMMAND, "--no-sizes", "-q"]) == 0
    assert contents().keys() == before.keys()


def test_the_folder_of_a_killed_process_goes_with_the_next_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no folder of the output to keep files in, and none that another process still needs."""
    system = folder / "temporary"
    system.mkdir()
    (system / "tflite-cluster-notes").mkdir()  # somebody's own
    (system / ".tflite-cluster-link.tmp").symlink_to(folder, target_is_directory=True)
    mine = {path.name for path in system.iterdir()}
    monkeypatch.setenv("TMPDIR", str(system))
    monkeypatch.setattr("tempfile.tempdir", str(system))
    with subprocess.Popen([*PROGRAM, "sweep", "in.tflite"], stdout=subprocess.DEVNULL) as process:
        while not (made := [path for path in system.iterdir() if path.name not in mine and any(path.iterdir())]):
            assert process.poll() is None
            time.sleep(0.005)
        cluster(Path("in.tflite").read_bytes(), clusters=4, check=False, measure=False)
        assert made[0].exists()
        process.kill()
    assert made[0].exists()
    cluster(Path("in.tflite").read_bytes(), clusters=4, check=False, measure=False)
    assert {path.name for path in system.iterdir()} == mine
    assert Path("in.tflite").exists()


def test_a_folder_taken_for_stale_before_it_is_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another is made in its place."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    lock, taken = fcntl.flock, []

    def lock_late(file: int, operation: int) -> None:
        if not taken:
            taken.extend(folder.glob(".tflite-cluster-*"))
            taken[0].rmdir()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with temporary_folder() as made:
        assert made.is_dir()
        assert made != taken[0]
    assert not list(folder.glob(".tflite-cluster-*"))


def test_what_is_printed_has_no_room() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "inspect", "in.tflite"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "tflite-cluster: error: [Errno 28] No space left on device\n")


def test_closed_streams() -> None:
    """The limit is broken, whoever reads of it."""
    command = f"{sys.executable} -c '{PROGRAM[2]}' check in.tflite --max-zip 1 >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 99
    command = f"{sys.executable} -c '{PROGRAM[2]}' {' '.join(COMMAND)} >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0


def test_what_a_living_process_writes_stays(folder: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "in.tflite", "other.tflite", "--clusters", "16"], stdout=subprocess.DEVNULL
    ) as process:
        while not any(path.stat().st_size for path in folder.glob(".tflite-cluster-*")):
            assert process.poll() is None
            time.sleep(0.005)
        assert main([*COMMAND, "--no-sizes", "-q"]) == 0
        assert len(list(folder.glob(".tflite-cluster-*"))) == 1
        assert process.wait(60) == 0
    assert contents().keys() == {"in.tflite", "out.tflite", "other.tflite"}


def test_many_at_once_in_one_folder(folder: Path) -> None:
    """Files are taken for stale only when nobody holds them, however they are made and removed meanwhile."""
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            for turn in range(50):
                write_text(folder / f"{number}.txt", f"{turn}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [Path(f"{number}.txt").read_text() for number in range(4)] == ["49"] * 4
    assert not list(folder.glob(".tflite-cluster-*"))


def test_a_file_made_anew_is_not_taken_for_the_stale_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening a file and locking it, someone else removes it, and its owner makes it anew."""
    fcntl = pytest.importorskip("fcntl")
    stale = folder / ".tflite-cluster-0123456789abcdef.tmp"
    stale.write_text("first")
    lock = fcntl.flock

    def lock_late(file: BinaryIO, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            stale.unlink()
            stale.write_text("second")
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    write_text(folder / "new.txt", "new")
    assert stale.read_text() == "second"


def test_the_mode_of_the_process_is_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The umask belongs to all threads."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
    new = NewFile(Path("new.tflite"))
    new.commit()
    new.discard()
    assert Path("new.tflite").exists()


@pytest.mark.parametrize("name", ["a\0b.tflite", "a\ud800b.tflite"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(OutputError, match="no file name can have"):
        cluster("in.tflite", name, check=False)
    with pytest.raises(OutputError, match="no file name can have"):
        write_text(Path(name), "")
    with pytest.raises(ModelError, match="cannot be read"):
        cluster(name, "new.tflite", check=False)


def test_names_that_are_not_utf8() -> None:
    """The interpreter cannot open them, and the rest works."""
    name = os.fsdecode(b"caf\xe9.tflite")
    shutil.copy(FOLDER / "conv_2d_float32.tflite", name)
    target = os.fsdecode(b"out\xff.tflite")
    assert main([name, target, "--clusters", "8", "--report", "r.json"]) == 0
    assert Path(target).stat().st_size == Path(name).stat().st_size


def test_a_pipe_a_folder_and_a_link(folder: Path, capsys: Captured) -> None:
    os.mkfifo("pipe.tflite")
    Path("folder.tflite").mkdir()
    Path("link.tflite").symlink_to("in.tflite")
    Path("loop.tflite").symlink_to("loop.tflite")
    for name in ("pipe", "folder", "loop"):
        assert main([f"{name}.tflite", "new.tflite"]) == 3
        assert f"{name}.tflite" in capsys.readouterr().err
    assert main(["in.tflite", "pipe.tflite", "--force"]) == 2
    assert main(["link.tflite", "new.tflite", "--clusters", "8", "--no-check", "-q"]) == 0
    assert main(["link.tflite", "in.tflite", "--force"]) == 2
    assert not list(folder.glob(".tflite-cluster-*"))


@pytest.mark.parametrize("option", ["--report", "--save-recipe"])
def test_a_place_where_no_report_can_be(option: str, folder: Path, capsys: Captured) -> None:
    """Devices and pipes are not replaced, and what cannot be written is known before the work is done."""
    os.mkfifo("pipe.json")
    Path("lost.json").symlink_to("missing/report.json")
    for place in ("pipe.json", "", "a" * 300 + ".json", "in.tflite/report.json", "lost.json"):
        assert main(["in.tflite", "new.tflite", *COMMAND[2:], option, place]) in (1, 2)
        assert capsys.readouterr().err.count("\n") == 1
    assert (folder / "pipe.json").is_fifo()
    assert not Path("new.tflite").exists()


def test_no_output_takes_the_place_of_another_file(capsys: Captured) -> None:
    """Not even with --force, and by whatever name."""
    Path("samples.npz").write_bytes(b"mine")
    Path("link.json").symlink_to("samples.npz")
    Path("recipe.toml").write_text("clusters = 8")
    data = ["--data", "samples.npz"]
    for command in (
        ["in.tflite", "samples.npz", *data],
        ["in.tflite", "new.tflite", *data, "--report", "link.json"],
        ["in.tflite", "new.tflite", "--report", "same", "--save-recipe", "./same"],
        ["in.tflite", "recipe.toml", "--recipe", "recipe.toml"],
        ["in.tflite", "new.tflite", "--report", "new.tflite"],
    ):
        assert main([*command, "--force"]) == 2
        assert "is another file of this run" in capsys.readouterr().err
    assert Path("samples.npz").read_bytes() == b"mine"


def test_names_as_long_as_they_can_be(capsys: Captured) -> None:
    """Samples beside such a model would have a longer name."""
    name = "b" * 248 + ".tflite"
    shutil.copy(FOLDER / "conv_2d_float32.tflite", name)
    assert main([name, "new.tflite", "--clusters", "8", "-q", "--no-sizes"]) == 0
    capsys.readouterr()
    for data in ("a" * 300, "aa:" + "a" * 300):
        assert main([name, "other.tflite", "--clusters", "8", "--data", data]) in (2, 3)
        assert capsys.readouterr().err.count("\n") == 1


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
