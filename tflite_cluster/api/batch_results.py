"""The folder of a batch: results as lines of JSON, and notes by which workers say what they have begun and finished."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from ..errors import OutputError
from ..files import remove_stale, write_text
from .batch_task import BatchRecord, Task, begun

try:
    import fcntl
except ImportError:  # on Windows, where two batches in one folder are not told apart
    fcntl = None  # type: ignore[assignment]

RESULTS: Final = "results.jsonl"
_NOTES: Final = ".tflite-cluster-batch"
_POLL_SECONDS: Final = 0.2


class Results:
    """The results of a batch, open for one process at a time. Use it as a context manager.

    Raises OutputError if the folder cannot be written, or if another batch is writing there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / _NOTES
        self.records: dict[str, BatchRecord] = {}
        """The last record of each new model, by its name."""
        self.new: set[str] = set()
        """The names of those that were appended since the results were opened."""

    def __enter__(self) -> Results:
        with self._writing():
            self.notes.mkdir(exist_ok=True)
            self._file = os.open(self.folder / RESULTS, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            self._lock()
            self._read()
            self._forget_attempts()
            self.new.clear()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            remove_stale(self.notes)
            for draft in self.notes.glob("*.tflite"):
                draft.unlink()
            self.notes.rmdir()  # unless there is something in it
        os.close(self._file)

    def note(self, destination: Path) -> Path:
        """Where the worker that makes this model leaves its note."""
        return self.notes / f"{hashlib.sha256(destination.name.encode()).hexdigest()[:32]}.json"

    def append(self, record: BatchRecord) -> None:
        """Write a record down, on disk, as one whole line; raises OutputError if that cannot be done."""
        line = f"{record.to_line()}\n".encode()
        with self._writing():
            before = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)
                if written != len(line):
                    raise OSError(0, "there is no room for a whole line")
                os.fsync(self._file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, before)
                raise
        self.records[record.destination] = record
        self.new.add(record.destination)

    def collect(self, tasks: Iterable[Task]) -> list[Task]:
        """Append what workers have finished, and return the tasks that they have not."""
        left = []
        with self._writing():
            there = set(self.notes.iterdir())  # of ten thousand tasks, a few have notes
        for task in tasks:
            record = _finished(task.note) if task.note in there else None
            if record is None:
                left.append(task)
            else:
                self.append(record)
                task.note.unlink()
        return left

    def _lock(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(f"another batch writes to {self.folder}: wait for its end") from None
            except OSError:  # a file system without locks
                pass

    def _read(self) -> None:
        with open(self._file, encoding="utf-8", errors="replace", closefd=False) as lines:
            content = lines.read()
        for line in content.splitlines():
            record = BatchRecord.from_line(line)
            if record is not None:
                self.records[record.destination] = record
        if content and not content.endswith("\n"):  # the machine stopped within a line
            with self._writing():
                os.write(self._file, b"\n")

    def _forget_attempts(self) -> None:
        """Take what an earlier batch left: its finished models count, and those begun are begun for the first time."""
        for note in self.notes.glob("*.json"):
            record = _finished(note)
            if record is not None:
                self.append(record)
                note.unlink()
            elif begun(note) is not None:
                write_text(note, json.dumps({"begun": 0}))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.folder / RESULTS} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def collecting(results: Results, tasks: list[Task], told: Callable[[], None]) -> Iterator[None]:
    """Append records while workers go on, so that a batch that is killed has lost nothing.

    told: called after each look. Raises OutputError in the end if they could not be
    written. Afterwards all that was finished is written.
    """
    stop = threading.Event()
    failures: list[OutputError] = []

    def collect() -> None:
        left = tasks
        while not failures:
            last = stop.wait(_POLL_SECONDS)
            try:
                left = results.collect(left)
            except OutputError as error:
                failures.append(error)
            told()
            if last:
                return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _finished(note: Path) -> BatchRecord | None:
    try:
        return BatchRecord.from_line(note.read_text(encoding="utf-8"))
    except OSError:
        return None
