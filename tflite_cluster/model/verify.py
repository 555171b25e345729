"""Is this file safe to walk? Every table, vector and string that is read later is checked here first.

Python's flatbuffers runtime follows any offset: a hostile file can make it read outside the file or walk the
same tables for days. An honest file is a tree in which each table stands once, so the walk is also given a budget that
grows with the file and that no honest file can reach.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .layout import IDENTIFIER, ROOT, TABLES, UNIONS, Field
from .recognise import what_it_is

MAX_TABLES: Final = 250_000
"""References to tables that are followed at most; the largest language models have some ten thousand."""

_BYTES_PER_TABLE: Final = 16
"""Honest files spend twice as many on each table with its share of vectors and names, weights left aside."""

_ADDRESSABLE: Final = 1 << 32
"""Where the offsets of the flatbuffers runtime end; only the content of buffers may lie behind."""

_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U16 = struct.Struct("<H").unpack_from


@dataclass(frozen=True, order=True)
class Span:
    """Bytes [start, stop) of the file."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.stop - self.start


def verify(data: memoryview) -> npt.NDArray[np.int64]:
    """Check the structure of a .tflite file, and return where it stands.

    Returns the spans of all structure that was reached (tables, vtables, vectors, strings; not the content of
    buffers) as an array of shape (spans, 2): start and stop. Raises ModelError for anything that a reader could not
    walk safely.
    """
    return Walk(data).run()


class Walk:
    """The walk over all tables, from the root."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self.tables_left = min(MAX_TABLES, max(1, self.size // _BYTES_PER_TABLE))  # cut short, it is called damaged
        self.bytes_left = 4 * self.size
        self.structure = array("q")
        self.pending: list[tuple[str, int]] = []

    def run(self) -> npt.NDArray[np.int64]:
        """Walk, and return the spans of the structure; raises ModelError."""
        if self.size < 8 or bytes(self.data[4:8]) != IDENTIFIER:
            form = what_it_is(self.data)
            known = "the identifier 'TFL3' is missing" if form is None else f"it is {form}"
            raise ModelError(f"not a .tflite model: {known}")
        self.structure.extend((0, 8))
        self._push(ROOT, _U32(self.data, 0)[0])
        while self.pending:
            self._table(*self.pending.pop())
        return np.frombuffer(self.structure, dtype=np.int64).reshape(-1, 2)

    def _push(self, table: str, position: int) -> None:
        self._require_budget(1)
        self.tables_left -= 1
        self.pending.append((table, position))

    def _require(self, start: int, length: int, what: str) -> None:
        if start < 0 or start + length > min(self.size, _ADDRESSABLE):
            raise ModelError(f"damaged: {what} reaches outside the file (byte {start}, file of {self.size} bytes)")

    def _mark(self, start: int, length: int, what: str) -> None:
        self.bytes_left -= length
        if self.bytes_left < 0:
            raise ModelError("its parts overlap far more than any real model's: refused as hostile")
        self.note(start, length, what)

    def note(self, start: int, length: int, what: str) -> None:
        """Take down a part of the structure; `what` is for those who override this to know."""
        del what
        self.structure.extend((start, start + length))

    def note_field(self, start: int, length: int, what: str) -> None:
        """Take down a field that stands in a table itself; for those who override this."""

    def _table(self, name: str, position: int) -> None:
        self._require(position, 4, f"a table {name}")
        vtable = position - _I32(self.data, position)[0]
        self._require(vtable, 4, f"the vtable of {name}")
        vtable_size, object_size = _U16(self.data, vtable)[0], _U16(self.data, vtable + 2)[0]
        if vtable_size < 4 or vtable_size % 2 or object_size < 4:
            raise ModelError(f"damaged: impossible vtable for a {name} at byte {position}")
        self._require(vtable, vtable_size, f"the vtable of {name}")
        self._require(position, object_size, f"a table {name}")
        self.note(vtable, vtable_size, f"the vtable of a {name}")
        self._mark(position, object_size, f"a table {name}")
        for field in TABLES[name]:
            offset = self._offset(vtable, vtable_size, field.slot)
            kind_at = self._offset(vtable, vtable_size, field.slot - 1) if field.kind == "union" else 0
            if kind_at and not 4 <= kind_at < object_size:  # it is read even where the union itself is absent
                raise ModelError(f"damaged: the type of {name}.{field.name} lies outside its table at byte {position}")
            if not offset:
                continue
            size = field.size if field.kind == "scalar" else 4
            if offset < 4 or offset + size > object_size:
                raise ModelError(f"damaged: {name}.{field.name} lies outside its table at byte {position}")
            self.note_field(position + offset, size, f"{name}.{field.name}")
            if field.kind == "union":
                self._union(name, field, position + offset, self.data[position + kind_at] if kind_at else 0)
            elif field.kind != "scalar":
                self._reference(name, field, position + offset)

    def _offset(self, vtable: int, vtable_size: int, slot: int) -> int:
        entry = 4 + 2 * slot
        return int(_U16(self.data, vtable + entry)[0]) if entry + 2 <= vtable_size else 0

    def _target(self, name: str, field: Field, position: int) -> int:
        target = position + int(_U32(self.data, position)[0])
        self._require(target, 4, f"{name}.{field.name}")
        return target

    def _union(self, name: str, field: Field, position: int, kind: int) -> None:
        table = UNIONS[field.target].get(kind)
        if table is not None:  # any other kind is never opened
            self._push(table, self._target(name, field, position))

    def _reference(self, name: str, field: Field, position: int) -> None:
        target = self._target(name, field, position)
        if field.kind == "table":
            self._push(field.target, target)
            return
        count = _U32(self.data, target)[0]
        length = count * field.size + (field.kind == "string")
        self._require(target + 4, length, f"{name}.{field.name}")
        is_content = (name, field.name) == ("Buffer", "data")
        self._mark(target, 4 if is_content else 4 + length, f"{name}.{field.name}")
        if field.kind == "tables":
            self._require_budget(count)
            for index in range(count):
                element = target + 4 + 4 * index
                self._push(field.target, self._target(name, field, element))

    def _require_budget(self, count: int) -> None:
        if count > self.tables_left:
            raise ModelError("its tables refer to each other far more often than any real model's: refused as hostile")
