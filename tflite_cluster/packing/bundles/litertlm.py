"""LiteRT-LM files (.litertlm): read, and written again with other models of the same length in them.

32 bytes at the beginning hold the magic number, the version of the format, and where the header ends. The header is a
FlatBuffer behind them. It lists sections: where each begins and ends, what it holds, and notes about it. Neither has a
checksum. Sections begin at multiples of 16 KiB, so that they can be mapped.

New models take the places of the old ones, and every other byte of the file stays.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from ...errors import ModelError
from ..deflate import Sink
from .bundle import IDENTIFIER

_MAGIC: Final = b"LITERTLM"
_PREFIX: Final = struct.Struct("<8s3I4xQ")
"""Magic number; major, minor and patch version; end of the header."""

_MAJOR: Final = 1
"""Versions with this first number may add kinds of sections, and change nothing else."""

_MOST: Final = 1 << 16
"""Sections of a file, and notes about them, that are read together; a damaged header can claim any number."""

_BLOCK: Final = 1 << 20
"""Bytes that are copied at once."""

_MODEL: Final = 3
_TEXT: Final = 9
"""Numbers of a section that is a model, and of a note that is text."""

_SECTIONS: Final = 1
_OBJECTS: Final = 0
_NOTES, _BEGIN, _END, _KIND = range(4)
_KEY, _VALUE_KIND, _VALUE = range(3)
"""Slots of fields: in the root table, in the list of sections, in a section, and in a note about it."""

_LONGEST: Final = 40
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_]+")
"""Values of a note that may become part of a name."""

_U8, _U16, _U32, _I32, _U64 = map(struct.Struct, ("<B", "<H", "<I", "<i", "<Q"))


@dataclass(frozen=True)
class Section:
    """One part of a file. name: as the tools of LiteRT-LM call it. kind: a number of the format."""

    name: str
    kind: int
    start: int
    stop: int


@dataclass(frozen=True)
class LiteRtLmBundle:
    """A LiteRT-LM file, and its sections in the order of their data."""

    keeps_lengths: ClassVar[bool] = True
    without_models: ClassVar[str | None] = "no section holds a .tflite model, so that there is nothing to cluster"

    label: str
    data: memoryview
    entries: tuple[Section, ...]

    def is_model(self, entry: Section) -> bool:
        """A section of that kind which is not encrypted."""
        return entry.kind == _MODEL and self.begin(entry, 8)[4:] == IDENTIFIER

    def begin(self, entry: Section, most: int) -> bytes:
        """The first bytes of a section, at most so many."""
        return bytes(self.data[entry.start : min(entry.stop, entry.start + most)])

    def unpack(self, entry: Section, sink: Sink) -> None:
        """Write the content of a section."""
        self._copy(entry.start, entry.stop, sink)

    def write(self, contents: Mapping[Section, bytes], sink: Sink) -> None:
        """Write the file with new contents of some sections; raises ModelError if one has another length."""
        done = 0
        for section in self.entries:
            if section in contents:
                if len(contents[section]) != section.stop - section.start:
                    raise ModelError(f"{self.label}: '{section.name}' would get another length, and none can here")
                self._copy(done, section.start, sink)
                sink.write(contents[section])
                done = section.stop
        self._copy(done, len(self.data), sink)

    def _copy(self, start: int, stop: int, sink: Sink) -> None:
        for at in range(start, stop, _BLOCK):
            sink.write(self.data[at : min(stop, at + _BLOCK)])


class LiteRtLm:
    """The container of LiteRT-LM."""

    starts = _MAGIC
    suffix = ".litertlm"

    def read(self, data: memoryview, label: str) -> LiteRtLmBundle:
        """Find the sections. Raises ModelError if the file is damaged or of another version."""
        if len(data) < _PREFIX.size:
            raise _damaged(label, "it ends early")
        _, major, minor, patch, end = _PREFIX.unpack_from(data)
        if major != _MAJOR:
            raise ModelError(
                f"{label}: version {major}.{minor}.{patch} of the LiteRT-LM format, and only {_MAJOR}.x is known: "
                "cluster the .tflite models that it is built from"
            )
        if not _PREFIX.size <= end <= len(data):
            raise _damaged(label, "its header is not where it says")
        sections = _Header(data[_PREFIX.size : end], label).sections()
        for section in sections:
            if not end <= section.start <= section.stop <= len(data):
                raise _damaged(label, f"'{section.name}' is not where it says")
        sections.sort(key=lambda section: (section.start, section.stop))
        for section, following in pairwise(sections):
            if section.stop > following.start:
                raise _damaged(label, f"'{section.name}' and '{following.name}' overlap")
        return LiteRtLmBundle(label, data, tuple(sections))


class _Header:
    """A FlatBuffer that may be damaged, so that each access is checked; raises ModelError."""

    def __init__(self, data: memoryview, label: str) -> None:
        self._data = data
        self._label = label
        self._left = _MOST

    def sections(self) -> list[Section]:
        """All sections in the order of the header."""
        listed = self._target(self._follow(0), _SECTIONS)
        return [
            self._section(number, table)
            for number, table in enumerate([] if listed is None else self._tables(listed, _OBJECTS))
        ]

    def _section(self, number: int, table: int) -> Section:
        kind = self._scalar(_U8, table, _KIND)
        name = f"Section{number}"
        if kind == _MODEL:
            name = "_".join((name, "TFLiteModel", *self._model_type(table))) + ".tflite"
        return Section(name, kind, self._scalar(_U64, table, _BEGIN), self._scalar(_U64, table, _END))

    def _model_type(self, section: int) -> list[str]:
        """What the notes about a section say that the model is for, if they do, in a list."""
        for note in self._tables(section, _NOTES):
            value = self._target(note, _VALUE)
            if self._scalar(_U8, note, _VALUE_KIND) == _TEXT and value is not None:
                text = self._text(value, 0)
                if self._text(note, _KEY) == b"model_type" and _PLAIN.fullmatch(text):
                    return [text.decode("ascii")]
        return []

    def _number(self, form: struct.Struct, at: int) -> int:
        if not 0 <= at <= len(self._data) - form.size:
            raise _damaged(self._label, "its header leads out of itself")
        (number,) = form.unpack_from(self._data, at)
        return int(number)

    def _follow(self, at: int) -> int:
        return at + self._number(_U32, at)

    def _field(self, table: int, slot: int) -> int | None:
        """Where a field of a table stands; None if it is absent."""
        slots = table - self._number(_I32, table)
        place = 4 + 2 * slot
        if place + 2 > self._number(_U16, slots):
            return None
        offset = self._number(_U16, slots + place)
        return table + offset if offset else None

    def _scalar(self, form: struct.Struct, table: int, slot: int) -> int:
        at = self._field(table, slot)
        return 0 if at is None else self._number(form, at)

    def _target(self, table: int, slot: int) -> int | None:
        """Where the thing begins that a field leads to; None if the field is absent."""
        at = self._field(table, slot)
        return None if at is None else self._follow(at)

    def _tables(self, table: int, slot: int) -> list[int]:
        """Where the tables of a list begin."""
        start = self._target(table, slot)
        if start is None:
            return []
        count = self._number(_U32, start)
        self._left -= count
        if self._left < 0:
            raise _damaged(self._label, f"its header lists more than {_MOST:,} sections and notes")
        return [self._follow(start + 4 * number) for number in range(1, count + 1)]

    def _text(self, table: int, slot: int) -> bytes:
        """The bytes of a text; empty if the field is absent, or the text long."""
        start = self._target(table, slot)
        length = 0 if start is None else self._number(_U32, start)
        return b"" if start is None or length > _LONGEST else bytes(self._data[start + 4 : start + 4 + length])


def _damaged(label: str, what: str) -> ModelError:
    return ModelError(f"{label}: a damaged .litertlm file: {what}: fetch it again")


CONTAINER: Final = LiteRtLm()
