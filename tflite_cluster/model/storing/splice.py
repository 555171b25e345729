"""A copy of a file with parts taken out and put in, in which every reference still leads to what it led to."""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from .references import References

_CHUNK: Final = 1 << 20
_FURTHEST: Final = 1 << 31
"""Where references of a flatbuffer end."""

Pairs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Splice:
    """New content in place of the bytes [start, stop); start == stop puts it in between."""

    start: int
    stop: int
    content: bytes = b""

    @property
    def growth(self) -> int:
        """By how many bytes the file becomes longer."""
        return len(self.content) - (self.stop - self.start)


class Splicing:
    """Splices that do not overlap, and where they bring the bytes that stay."""

    def __init__(self, splices: Iterable[Splice]) -> None:
        self.splices = sorted(splices, key=lambda splice: (splice.start, splice.stop))
        self._stops = [splice.stop for splice in self.splices]
        self._shifts = [0, *accumulate(splice.growth for splice in self.splices)]

    def moved(self, position: int) -> int:
        """Where a byte that stays will stand."""
        return position + self._shifts[bisect_right(self._stops, position)]

    def _moved_all(self, positions: Pairs) -> Pairs:
        shifts = np.array(self._shifts, np.int64)
        return positions + shifts[np.searchsorted(np.array(self._stops, np.int64), positions, "right")]

    def write(
        self, data: memoryview, references: References, edits: dict[int, memoryview], file: io.BufferedIOBase
    ) -> None:
        """Write the new file. `edits` are bytes to put over old ones, by the old position of the first.

        Raises ModelError if something of unknown meaning may be a reference across a splice, or becomes too far away.
        """
        self._require_plain(references.doubtful)
        begin = 0
        for splice in [*self.splices, Splice(len(data), len(data))]:
            for start in range(begin, splice.start, _CHUNK):
                file.write(data[start : min(start + _CHUNK, splice.start)])
            file.write(splice.content)
            begin = splice.stop
        for sign, pairs in ((1, references.forward), (-1, references.vtables)):
            moved = self._moved_all(pairs)
            distance = sign * (moved[:, 1] - moved[:, 0])
            if len(distance) and abs(distance).max() >= _FURTHEST:
                raise ModelError("a flatbuffer cannot be that long")
            for index in np.flatnonzero(distance != sign * (pairs[:, 1] - pairs[:, 0])):
                _put(file, int(moved[index, 0]), struct.pack("<i", int(distance[index])))
        for position, content in edits.items():
            _put(file, self.moved(position), content)
        file.seek(0, io.SEEK_END)

    def _require_plain(self, doubtful: Pairs) -> None:
        moved = self._moved_all(doubtful)
        if np.any(moved[:, 1] - moved[:, 0] != doubtful[:, 1] - doubtful[:, 0]):
            raise ModelError(
                "holds parts of a newer schema, which may not be moved apart: its weights stay as they are"
            )


def _put(file: io.BufferedIOBase, position: int, content: bytes | memoryview) -> None:
    file.seek(position)
    file.write(content)
