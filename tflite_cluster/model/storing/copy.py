"""The new file where weights are stored as codes: not a copy of the same length, but written anew."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from ..draft import Draft
from ..patch import PatchedCopy
from .store import write_stored


class StoredCopy(Draft):
    """A patched copy with its codes in place of the float values that they stand for."""

    def __init__(self, copy: PatchedCopy) -> None:
        super().__init__(copy.model, copy.destination)
        self._copy = copy

    def _fill(self) -> None:
        write_stored(self._copy.reopen(), list(self._copy.stored.values()), cast(io.BufferedIOBase, self._file))


@contextmanager
def finished(copy: PatchedCopy) -> Iterator[Draft]:
    """The file that a patched copy is to become: the copy itself, unless codes are to be stored."""
    copy.flush()
    if not copy.stored:
        yield copy
        return
    with StoredCopy(copy) as new:
        new.flush()
        yield new
