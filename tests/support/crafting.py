"""Write .tflite files field by field, honest or not.

A table is a dict of field names, a vector of tables a list of dicts, a vector of numbers a numpy array; `data` and
strings are bytes. What is the same Python object is written once and referred to again and again, as no converter does.
A union's field takes (kind, table); its kind can be given alone.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from tflite_cluster.model.layout import IDENTIFIER, ROOT, TABLES, UNIONS, Field

Table = dict[str, Any]


def craft(model: Table) -> bytes:
    """The bytes of a file that holds this model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_Writer(builder).table(ROOT, model), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class _Writer:
    def __init__(self, builder: flatbuffers.Builder) -> None:
        self.builder = builder
        self.written: dict[tuple[int, str], int] = {}

    def table(self, name: str, content: Table) -> int:
        key = id(content), name
        if key not in self.written:
            self.written[key] = self._table(name, content)
        return self.written[key]

    def _table(self, name: str, content: Table) -> int:
        fields = [field for field in TABLES[name] if field.name in content]
        placed = [(field, self._reference(field, content[field.name])) for field in fields]
        self.builder.StartObject(max(field.slot for field in TABLES[name]) + 1)
        for field, value in sorted(placed, key=lambda pair: -pair[0].size):
            if field.kind == "scalar":
                self._scalar(field.slot, field.size, value)
                continue
            if field.kind == "union":
                self._scalar(field.slot - 1, 1, content[field.name][0])
            if value is not None:
                self.builder.PrependUOffsetTRelative(value)
                self.builder.Slot(field.slot)
        return int(self.builder.EndObject())

    def _scalar(self, slot: int, size: int, value: int) -> None:
        prepend = {1: self.builder.PrependUint8, 4: self.builder.PrependUint32, 8: self.builder.PrependUint64}[size]
        prepend(value % (1 << 8 * size))
        self.builder.Slot(slot)

    def _reference(self, field: Field, value: Any) -> Any:
        """Where a field's content was written; a scalar as it is."""
        if field.kind == "scalar":
            return value
        if field.kind == "table":
            return self.table(field.target, value)
        if field.kind == "union":
            kind, table = value
            return None if table is None else self.table(UNIONS[field.target][kind], table)
        key = id(value), "vector"
        if key not in self.written:
            self.written[key] = self._vector(field, value)
        return self.written[key]

    def _vector(self, field: Field, value: Any) -> int:
        if field.kind == "string":
            return int(self.builder.CreateString(value))
        if field.kind == "tables":
            places = [self.table(field.target, item) for item in value]
            self.builder.StartVector(4, len(places), 4)
            for place in reversed(places):
                self.builder.PrependUOffsetTRelative(place)
            return int(self.builder.EndVector())
        numbers = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
        return int(self.builder.CreateNumpyVector(numbers))
