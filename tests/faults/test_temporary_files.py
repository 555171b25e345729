"""Temporary files of processes that died, of those that live, and of many at once: nothing left over, none mistaken."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest
from support.command_line import COMMAND, LINUX_ONLY, PROGRAM, contents

from tflite_cluster import cluster
from tflite_cluster.cli import main
from tflite_cluster.files import NewFile, temporary_folder, write_text

pytestmark = LINUX_ONLY


def killed_in_the_middle(folder: Path) -> None:
    with subprocess.Popen([*PROGRAM, "in.tflite", "out.tflite", "--force"], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in folder.glob(".tflite-cluster-*")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()


@pytest.mark.slow
def test_what_a_killed_process_left_goes_with_the_next_run(folder: Path) -> None:
    before = contents()
    killed_in_the_middle(folder)
    assert len(contents()) == len(before) + 1
    assert contents()["out.tflite"] == b"old"
    assert main([*COMMAND, "--no-sizes", "-q"]) == 0
    assert contents().keys() == before.keys()


@pytest.mark.slow
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
        cluster(Path("in.tflite").read_bytes(), clusters=4, run=False, measure=False)
        assert made[0].exists()
        process.kill()
    assert made[0].exists()
    cluster(Path("in.tflite").read_bytes(), clusters=4, run=False, measure=False)
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


@pytest.mark.slow
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
