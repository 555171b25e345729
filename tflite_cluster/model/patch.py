"""A copy of a model in which only the weights' bytes change, put in place in one step or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from ..errors import ModelError, OutputError
from .read import Model
from .verify import Span

_CHUNK: Final = 1 << 20


def check_destination(source: Path | None, destination: Path, force: bool) -> None:
    """Refuse, before any work is done, what must not be overwritten; raises OutputError."""
    with contextlib.suppress(OSError):  # what cannot be looked at is refused when it is opened
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
        self._destination = Path(os.path.realpath(destination))  # through a symlink, to the file that it names
        self._spans: set[Span] = set()
        self._version = time.time_ns()
        self.path = Path()

    def __enter__(self) -> PatchedCopy:
        with self._writing():
            handle, name = tempfile.mkstemp(dir=self._destination.parent, prefix=".tflite-cluster-", suffix=".tmp")
            self.path = Path(name)
            self._file = open(handle, "r+b")
        try:
            with self._writing():
                for start in range(0, self._model.size, _CHUNK):
                    self._file.write(self._model.data[start : start + _CHUNK])
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, span: Span, content: memoryview) -> None:
        """Replace the bytes of a span, which must be as many."""
        if len(content) != span.size:
            raise AssertionError(f"{len(content)} bytes do not fit {span}")
        with self._writing():
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
        with self._writing():
            self._file.flush()
            self._version += 1  # a clock may be too coarse to tell two versions apart
            os.utime(self.path, ns=(self._version, self._version))

    def check(self) -> None:
        """See that the file differs from the model inside the written spans only; raises ModelError if not."""
        self.flush()
        start = 0
        for span in [*sorted(self._spans), Span(self._model.size, self._model.size)]:
            self._check_same(start, span.start)
            start = span.stop
        if os.fstat(self._file.fileno()).st_size != self._model.size:
            raise ModelError(f"{self._model.label}: the new file has another length; was it changed by someone else?")

    def _check_same(self, start: int, stop: int) -> None:
        self._file.seek(start)
        for begin in range(start, stop, _CHUNK):
            length = min(_CHUNK, stop - begin)
            if self._file.read(length) != self._model.data[begin : begin + length]:
                raise ModelError(f"{self._model.label}: changed while it was read; nothing was written")

    def read(self) -> bytes:
        """The whole new file."""
        self.flush()
        return self.path.read_bytes()

    def commit(self, force: bool) -> None:
        """Put the file at its destination, in one step, on disk before it gets there.

        Without `force`, what has appeared there since the beginning is left alone too.
        """
        self.flush()
        _check_replaceable(self._destination, force)
        with self._writing():
            os.utime(self.path)
            os.fsync(self._file.fileno())
            self._file.close()
            self.path.chmod(0o666 & ~_umask())
            self.path.replace(self._destination)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._destination} cannot be written: {error.strerror}; nothing was changed"
            ) from error

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # a buffer that could not be written is dropped with the file
            self._file.close()
        self.path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
