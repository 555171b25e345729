"""Where the fields of a table stand in a .tflite file that `verify` has found safe to walk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from .layout import TABLES

_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U16 = struct.Struct("<H").unpack_from

KNOWN_SLOTS: Final = {
    name: {slot for field in fields for slot in range(field.slot - (field.kind == "union"), field.slot + 1)}
    for name, fields in TABLES.items()
}
"""Numbers of the fields of each table that the schema here lists."""

_NEW_CODE: Final = next(field.slot for field in TABLES["OperatorCode"] if field.name == "builtin_code")


def root(data: memoryview) -> int:
    """Where the root table stands."""
    return int(_U32(data, 0)[0])


def field_at(data: memoryview, table: str, position: int, name: str) -> int | None:
    """Where the field of a table stands, None where it is absent."""
    slot = next(field.slot for field in TABLES[table] if field.name == name)
    return dict(present(data, position)).get(slot)


def target_at(data: memoryview, table: str, position: int, name: str) -> int | None:
    """Where the field of a table leads to, None where it is absent."""
    place = field_at(data, table, position, name)
    return None if place is None else follow(data, place)


def follow(data: memoryview, place: int) -> int:
    """What the reference at a place leads to."""
    return place + int(_U32(data, place)[0])


def tables_of(data: memoryview, vector: int | None) -> list[int]:
    """Where the tables of a vector stand."""
    if vector is None:
        return []
    return [follow(data, vector + 4 + 4 * index) for index in range(_U32(data, vector)[0])]


def has_unknown_fields(data: memoryview, table: str, position: int) -> bool:
    """Whether a table has fields that the schema here does not list."""
    return any(slot not in KNOWN_SLOTS[table] for slot, _ in present(data, position))


def builtin_code(code: Any) -> int:
    """The builtin operator of an operator code: the larger of its old field and its new one, as the runtimes take it.

    The reader's own `BuiltinCode` leaves out the new field where it is small, so that an operator code with nothing in
    the old one would be taken for ADD, which is 0.
    """
    place = dict(present(code._tab.Bytes, code._tab.Pos)).get(_NEW_CODE)
    return max(int(code.DeprecatedBuiltinCode()), 0 if place is None else int(_I32(code._tab.Bytes, place)[0]))


def present(data: memoryview, position: int) -> Iterator[tuple[int, int]]:
    """(slot, place) of the fields that a table has."""
    vtable = position - _I32(data, position)[0]
    for slot in range((_U16(data, vtable)[0] - 4) // 2):
        offset = _U16(data, vtable + 4 + 2 * slot)[0]
        if offset:
            yield slot, position + offset
