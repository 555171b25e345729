"""Every place of a .tflite file that says where something else stands.

Tables are found through the known schema. Of a table whose fields are not known (the options of most operators, or a
field that is newer than the schema here) it can be seen which fields exist, but not which of them are references:
those that might be one are listed apart.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from ..fields import KNOWN_SLOTS, follow, present
from ..layout import ROOT, TABLES, UNIONS

_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U16 = struct.Struct("<H").unpack_from

_UNKNOWN: Final = ""
"""Name of a table whose fields are not known."""


@dataclass(frozen=True)
class References:
    """Rows of (place of the reference, what it leads to), in bytes from the beginning of the file.

    forward: written as the distance from the place to the target. vtables: written as the distance from the target to
    the place. doubtful: numbers that would lead somewhere if they were references; it is not known what they are.
    """

    forward: npt.NDArray[np.int64]
    vtables: npt.NDArray[np.int64]
    doubtful: npt.NDArray[np.int64]


def find_references(data: memoryview) -> References:
    """All references of a file that `verify` has found safe to walk; raises ModelError where its walk did not reach."""
    return _Search(data).run()


_LEAST_FIELDS: Final = 1 << 16
_FIELDS_PER_BYTE: Final = 4
"""Bytes of vtables that are walked at most, in all, for each byte of the file: tables may share a vtable."""


class _Search:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.forward, self.vtables, self.doubtful = array("q"), array("q"), array("q")
        self.perhaps_tables: list[tuple[int, int]] = []
        self.pending: list[tuple[str, int]] = []
        self.seen: set[int] = set()
        self.left = _LEAST_FIELDS + _FIELDS_PER_BYTE * len(data)
        self.furthest: dict[int, int] = {}

    def run(self) -> References:
        self._reference(0, ROOT)
        while self.pending:
            name, position = self.pending.pop()
            if position in self.seen:
                continue
            self.seen.add(position)
            if name == _UNKNOWN and not self._is_readable(position):
                raise ModelError("damaged: the options of an operator reach outside the file")
            self.vtables.extend((position, position - _I32(self.data, position)[0]))
            self._spend(position)
            for slot, place in present(self.data, position):
                if name == _UNKNOWN or slot not in KNOWN_SLOTS[name]:
                    self._doubt(place)
            if name != _UNKNOWN:
                self._known(name, position)
        for table, vtable in self.perhaps_tables:
            if table not in self.seen:
                self.doubtful.extend((table, vtable))
        forward, vtables, doubtful = (
            np.frombuffer(pairs, np.int64).reshape(-1, 2) for pairs in (self.forward, self.vtables, self.doubtful)
        )
        return References(forward, vtables, doubtful)

    def _spend(self, table: int) -> None:
        """Bound the work by the length of the file: many tables may share a long vtable, one that lies."""
        vtable = table - _I32(self.data, table)[0]
        self.left -= _U16(self.data, vtable)[0]
        if self.left < 0:
            raise ModelError("damaged: its tables have more fields than there is room for")

    def _known(self, name: str, position: int) -> None:
        places = dict(present(self.data, position))
        for field in TABLES[name]:
            place = places.get(field.slot)
            if place is None or field.kind == "scalar":
                continue
            if field.kind == "union":
                kind = self.data[places[field.slot - 1]] if field.slot - 1 in places else 0
                self._reference(place, UNIONS[field.target].get(kind, _UNKNOWN))
            elif field.kind == "table":
                self._reference(place, field.target)
            else:
                self._reference(place)
                if field.kind == "tables":
                    vector = follow(self.data, place)
                    for index in range(_U32(self.data, vector)[0]):
                        self._reference(vector + 4 + 4 * index, field.target)

    def _reference(self, place: int, table: str | None = None) -> None:
        target = follow(self.data, place)
        self.forward.extend((place, target))
        if table is not None:
            self.pending.append((table, target))

    def _doubt(self, place: int) -> None:
        """Note what a field would lead to, and if that looks like a table, where its vtable would be."""
        if place % 4 or place + 4 > len(self.data):
            return
        target = follow(self.data, place)
        if target == place or target % 4 or target + 4 > len(self.data):
            return
        self.doubtful.extend((place, target))
        if self._is_readable(target):
            self.perhaps_tables.append((target, target - _I32(self.data, target)[0]))

    def _is_readable(self, table: int) -> bool:
        """Whether something that `verify` has not seen can be read as a table."""
        size = len(self.data)
        vtable = table - _I32(self.data, table)[0] if 0 <= table <= size - 4 else -1
        if not 0 <= vtable <= size - 4:
            return False
        length, extent = _U16(self.data, vtable)[0], _U16(self.data, vtable + 2)[0]
        if length < 4 or length % 2 or extent < 4 or vtable + length > size:
            return False
        if vtable not in self.furthest:
            offsets = np.frombuffer(self.data, "<u2", (length - 4) // 2, vtable + 4)
            self.furthest[vtable] = int(offsets.max(initial=0))
        return table + self.furthest[vtable] < size
