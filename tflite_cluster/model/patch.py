"""A copy of a model in which only the weights' bytes change."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError
from .draft import Draft
from .read import Model
from .source import CHUNK, same
from .storing.store import Stored
from .verify import Span


@dataclass(frozen=True)
class Content:
    """What a span of the copy holds, and the codes that are to stand for it, if there are any."""

    content: bytes
    stored: Stored | None


@dataclass(frozen=True)
class _Written:
    """A digest of what was written to a span, and the codes that are to stand for it."""

    digest: bytes
    stored: Stored | None


class PatchedCopy(Draft):
    """A copy of the model, of the same length, in which spans are written and restored."""

    def __init__(self, model: Model, destination: Path) -> None:
        super().__init__(model, destination)
        self._spans: dict[Span, _Written] = {}
        self._version = time.time_ns()
        self._is_flushed = False

    def _fill(self) -> None:
        for start in range(0, self._model.size, CHUNK):
            stop = min(start + CHUNK, self._model.size)
            self._file.write(self._model.data[start:stop])
            self._model.forget(Span(start, stop))

    def write(self, span: Span, content: memoryview, stored: Stored | None = None) -> None:
        """Replace the bytes of a span, which must be as many.

        stored: codes that stand for the same values, in whose form they are to be stored in the end.
        """
        if len(content) != span.size:
            raise AssertionError(f"{len(content)} bytes do not fit {span}")
        with self._new.writing():
            self._file.seek(span.start)
            self._file.write(content)
        self._is_flushed = False
        self._spans[span] = _Written(_digest(content), stored)

    @property
    def spans(self) -> frozenset[Span]:
        """All spans that were written, and not restored since."""
        return frozenset(self._spans)

    @property
    def stored(self) -> dict[Span, Stored]:
        """The codes that are to stand for what was written, where there are any, in the order of the file."""
        spans = ((span, self._spans[span].stored) for span in sorted(self._spans))
        return {span: stored for span, stored in spans if stored is not None}

    def read_span(self, span: Span) -> bytes:
        """The bytes of a span as they now are."""
        self._file.seek(span.start)
        return self._file.read(span.size)

    def was_written(self, span: Span, content: memoryview) -> bool:
        """Whether a span was written, and last with this content."""
        return span in self._spans and self._spans[span].digest == _digest(content)

    def contents(self) -> dict[Span, Content]:
        """What the written spans hold, to be put back later."""
        return {span: Content(self.read_span(span), written.stored) for span, written in self._spans.items()}

    def put_back(self, contents: dict[Span, Content]) -> None:
        """Make the file what it was when it had these contents."""
        for span in self._spans.keys() - contents.keys():
            self.restore(span)
        for span, kept in contents.items():
            self.write(span, memoryview(kept.content), kept.stored)

    def restore(self, span: Span) -> None:
        """Put the original bytes back."""
        self.write(span, self._model.bytes_of(span))
        del self._spans[span]

    def flush(self) -> None:
        """Bring all that was written into the file at `path`, and give the file a time it never had before."""
        if self._is_flushed:
            return
        super().flush()
        with self._new.writing():
            self._version += 1  # a clock may be too coarse to tell two versions apart
            os.utime(self._new.path, ns=(self._version, self._version))
        self._is_flushed = True

    def check(self, spans: Iterable[Span] | None = None) -> None:
        """Check that the file differs from the model inside the spans only; raises ModelError if not.

        spans: by default all that were written.
        """
        self.flush()
        start = 0
        for span in [*sorted(self._spans if spans is None else spans), Span(self._model.size, self._model.size)]:
            self._check_same(start, span.start)
            start = span.stop
        if self.size != self._model.size:
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


def _digest(content: memoryview) -> bytes:
    return hashlib.blake2b(content).digest()
