"""Disks that are full, files that may not be touched, names and places that cannot be: the old output stays intact."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import COMMAND, LINUX_ONLY, PROGRAM, Captured, contents
from support.fixture_models import FOLDER

from tflite_cluster import ModelError, OutputError, cluster
from tflite_cluster.cli import main
from tflite_cluster.files import write_text

pytestmark = LINUX_ONLY


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_what_is_printed_has_no_room() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "inspect", "in.tflite"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "tflite-cluster: error: [Errno 28] No space left on device\n")


@pytest.mark.slow
def test_closed_streams() -> None:
    """The limit is broken, whoever reads of it."""
    command = f"{sys.executable} -c '{PROGRAM[2]}' check in.tflite --max-zip 1 >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 99
    command = f"{sys.executable} -c '{PROGRAM[2]}' {' '.join(COMMAND)} >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["a\0b.tflite", "a\ud800b.tflite"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(OutputError, match="no file name can have"):
        cluster("in.tflite", name, run=False)
    with pytest.raises(OutputError, match="no file name can have"):
        write_text(Path(name), "")
    with pytest.raises(ModelError, match="cannot be read"):
        cluster(name, "new.tflite", run=False)


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
    assert main(["link.tflite", "new.tflite", "--clusters", "8", "--no-run", "-q"]) == 0
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


@pytest.mark.slow
def test_names_as_long_as_they_can_be(capsys: Captured) -> None:
    """Samples beside such a model would have a longer name."""
    name = "b" * 248 + ".tflite"
    shutil.copy(FOLDER / "conv_2d_float32.tflite", name)
    assert main([name, "new.tflite", "--clusters", "8", "-q", "--no-sizes"]) == 0
    capsys.readouterr()
    for data in ("a" * 300, "aa:" + "a" * 300):
        assert main([name, "other.tflite", "--clusters", "8", "--data", data]) in (2, 3)
        assert capsys.readouterr().err.count("\n") == 1
