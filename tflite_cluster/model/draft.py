"""A new model while it is made: a file beside its destination, put in place in one step or not at all."""

from __future__ import annotations

import mmap
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from ..errors import OutputError
from ..files import NewFile, check_place, check_there
from .read import Model, open_model

if TYPE_CHECKING:
    from typing_extensions import Self


def check_destination(source: Path | None, destination: Path, force: bool) -> None:
    """Refuse, before any work is done, a missing input (ModelError), or what must not be overwritten (OutputError)."""
    if source is not None:
        check_there(source)
        if is_same_file(destination, source):
            raise OutputError(f"{destination} is the input itself: give the output another name")
    check_place(destination, force)


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file; False if they cannot be compared, and opening them will say why."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


class Draft(ABC):
    """The new file while it is made, at `path`, beside its destination; gone at the end unless committed.

    Use it as a context manager. Raises OutputError when it cannot be written.
    """

    def __init__(self, model: Model, destination: Path) -> None:
        """model: what the file is made of; its label is what the file is called."""
        self._model = model
        self._destination = destination

    def __enter__(self) -> Self:
        self._new = NewFile(self._destination)
        try:
            with self._new.writing():
                self._fill()
        except BaseException:
            self._new.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._new.discard()

    @abstractmethod
    def _fill(self) -> None:
        """Write what the file holds at the beginning."""

    @property
    def path(self) -> Path:
        """Where the file is while it is made, with all that was written so far."""
        self.flush()
        return self._new.path

    @property
    def model(self) -> Model:
        """What the file is made of."""
        return self._model

    @property
    def destination(self) -> Path:
        """Where it is to be in the end."""
        return self._destination

    @property
    def _file(self) -> BinaryIO:
        assert self._new.file is not None
        return self._new.file

    def flush(self) -> None:
        """Bring all that was written into the file at `path`."""
        with self._new.writing():
            self._file.flush()

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        self.flush()
        return os.fstat(self._file.fileno()).st_size

    def read(self) -> bytes:
        """The whole new file."""
        self.flush()
        return self.path.read_bytes()

    def reopen(self) -> Model:
        """The new file, verified and read as any other; raises ModelError if that cannot be."""
        self.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return open_model(memoryview(mapped), label=f"the new {self._model.label}")

    def commit(self, force: bool) -> None:
        """Put the file at its destination, in one step, on disk before it gets there.

        Without `force`, what has appeared there since the beginning is left alone too.
        """
        self.flush()
        check_place(self._destination, force)
        with self._new.writing():
            os.utime(self._new.path)
        self._new.commit()
