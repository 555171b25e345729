"""A copy of a model in which only the weights' bytes change, put in place in one step or not at all."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ..errors import ModelError, OutputError
from ..files import NewFile, check_name
from .read import Model, open_model
from .source import CHUNK, same
from .verify import Span


def check_destination(source: Path | None, destination: Path, force: bool) -> None:
    """Refuse, before any work is done, what must not be overwritten; raises OutputError."""
    check_name(destination)
    with contextlib.suppress(OSError, ValueError):  # what cannot be looked at is refused when it is opened
        if source is not None and destination.samefile(source):
            raise OutputError(f"{destination} is the input itself: give the output another name")
    try:
        _check_replaceable(destination, force)
    except OSError as error:
        raise OutputError(f"{destination} cannot be written: {error.strerror}") from error


def _check_replaceable(destination: Path, force: bool) -> None:
    if destination.is_dir():
        raise OutputError(f"{destination} is a folder: give the name of a file in it")
    if destination.exists() and not destination.is_file():
        raise OutputError(f"{destination} is not a regular file")
    if destination.exists() and not force:
        raise OutputError(f"{destination} exists: use --force to replace it")
    if not destination.parent.is_dir():
        raise OutputError(f"the folder {destination.parent} does not exist: create it first")


class PatchedCopy:
    """The new file while it is made, at `path`, beside its destination; gone at the end unless committed.

    Use it as a context manager. Raises OutputError when it cannot be written.
    """

    def __init__(self, model: Model, destination: Path) -> None:
        self._model = model
        self._destination = destination
        self._spans: set[Span] = set()
        self._version = time.time_ns()

    def __enter__(self) -> PatchedCopy:
        self._new = NewFile(self._destination)
        try:
            with self._new.writing():
                for start in range(0, self._model.size, CHUNK):
                    stop = min(start + CHUNK, self._model.size)
                    self._file.write(self._model.data[start:stop])
                    self._model.forget(Span(start, stop))
        except BaseException:
            self._new.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._new.discard()

    @property
    def path(self) -> Path:
        """Where the file is while it is made."""
        return self._new.path

    @property
    def _file(self) -> BinaryIO:
        assert self._new.file is not None
        return self._new.file

    def write(self, span: Span, content: memoryview) -> None:
        """Replace the bytes of a span, which must be as many."""
        if len(content) != span.size:
            raise AssertionError(f"{len(content)} bytes do not fit {span}")
        with self._new.writing():
            self._file.seek(span.start)
            self._file.write(content)
        self._spans.add(span)

    @property
    def spans(self) -> frozenset[Span]:
        """All spans that were written, and not restored since."""
        return frozenset(self._spans)

    def read_span(self, span: Span) -> bytes:
        """The bytes of a span as they now are."""
        self._file.seek(span.start)
        return self._file.read(span.size)

    def contents(self) -> dict[Span, bytes]:
        """What the written spans hold, to be put back later."""
        return {span: self.read_span(span) for span in self._spans}

    def put_back(self, contents: dict[Span, bytes]) -> None:
        """Make the file what it was when it had these contents."""
        for span in self._spans - contents.keys():
            self.restore(span)
        for span, content in contents.items():
            self.write(span, memoryview(content))

    def restore(self, span: Span) -> None:
        """Put the original bytes back."""
        self.write(span, self._model.data[span.start : span.stop])
        self._spans.discard(span)

    def flush(self) -> None:
        """Bring all that was written into the file at `path`, and give the file a time it never had before."""
        with self._new.writing():
            self._file.flush()
            self._version += 1  # a clock may be too coarse to tell two versions apart
            os.utime(self.path, ns=(self._version, self._version))

    def check(self, spans: Iterable[Span] | None = None) -> None:
        """See that the file differs from the model inside the spans only; raises ModelError if not.

        spans: by default all that were written.
        """
        self.flush()
        start = 0
        for span in [*sorted(self._spans if spans is None else spans), Span(self._model.size, self._model.size)]:
            self._check_same(start, span.start)
            start = span.stop
        if os.fstat(self._file.fileno()).st_size != self._model.size:
            raise ModelError(f"{self._model.label}: the new file has another length; nothing was written")

    def _check_same(self, start: int, stop: int) -> None:
        self._file.seek(start)
        for begin in range(start, stop, CHUNK):
            end = min(begin + CHUNK, stop)
            alike = same(self._file.read(end - begin), self._model.data[begin:end])
            self._model.forget(Span(begin, end))
            if not alike:
                raise ModelError(
                    f"{self._model.label}: the new file differs from it at byte {begin} or soon after, "
                    "where nothing was to change; nothing was written"
                )

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
        _check_replaceable(self._destination, force)
        with self._new.writing():
            os.utime(self.path)
        self._new.commit()
