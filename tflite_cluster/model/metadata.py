"""What TFLite metadata says of the inputs: the flatbuffer that a model may carry in a buffer of its own.

It is read as far as the normalisation and the sample rate of the inputs, each offset checked before it is followed.
The paths are fixed ones, so that there is nothing to walk in circles in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final, TypeVar

from .read import Model

_BUFFER: Final = "TFLITE_METADATA"
_IDENTIFIER: Final = b"M001"
_MOST_BYTES: Final = 1 << 20
"""Honest metadata takes some hundred bytes; label files are not part of it."""

_MOST_ENTRIES: Final = 64
"""Inputs, steps of preprocessing and channels that are read at most."""

_SUBGRAPHS, _INPUTS, _PROCESS_UNITS, _OPTIONS_TYPE, _OPTIONS, _MEAN, _STD = 3, 2, 4, 0, 1, 0, 1
_CONTENT, _PROPERTIES_TYPE, _PROPERTIES, _SAMPLE_RATE = 3, 0, 1, 0
"""Numbers of the fields in their tables, as TFLite's metadata schema has them."""

_NORMALIZATION: Final = 1
"""Number of NormalizationOptions in the union of options."""

_AUDIO: Final = 4
"""Number of AudioProperties in the union of properties of the content."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Normalisation:
    """What a model takes is (pixel - mean) / std, each a single number or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def normalisations(model: Model) -> dict[int, Normalisation]:
    """Normalisation by tensor, for those inputs of the first subgraph whose metadata gives one.

    Damaged metadata is ignored, as the interpreter does not read it.
    """
    return _of_inputs(model, _normalisation)


def sample_rates(model: Model) -> dict[int, int]:
    """Frames of sound per second by tensor, for those inputs of the first subgraph whose metadata gives them.

    Damaged metadata is ignored, as the interpreter does not read it.
    """
    return _of_inputs(model, _sample_rate)


def _of_inputs(model: Model, read: Callable[[_Table], _T | None]) -> dict[int, _T]:
    """What `read` finds in the entry of each input, by tensor."""
    spans = [model.buffers[index] for index, name in model.metadata.items() if name == _BUFFER]
    if len(spans) != 1 or not 8 <= spans[0].size <= _MOST_BYTES:
        return {}
    data = bytes(model.bytes_of(spans[0]))
    try:
        subgraphs = _Table(data, _number(data, 0)).tables(_SUBGRAPHS) if data[4:8] == _IDENTIFIER else []
        found = [read(entry) for entry in subgraphs[0].tables(_INPUTS)] if subgraphs else []
    except (ValueError, struct.error):
        return {}
    inputs = model.subgraphs[0].inputs
    return {tensor: told for tensor, told in zip(inputs, found, strict=False) if told is not None}


def _normalisation(entry: _Table) -> Normalisation | None:
    for unit in entry.tables(_PROCESS_UNITS):
        if unit.byte(_OPTIONS_TYPE) == _NORMALIZATION:
            options = unit.table(_OPTIONS)
            mean, std = options.floats(_MEAN), options.floats(_STD)
            if mean and std and all(map(isfinite, mean + std)) and all(std):
                return Normalisation(mean, std)
    return None


def _sample_rate(entry: _Table) -> int | None:
    if not entry.has(_CONTENT):
        return None
    content = entry.table(_CONTENT)
    if content.byte(_PROPERTIES_TYPE) != _AUDIO:
        return None
    return content.table(_PROPERTIES).integer(_SAMPLE_RATE) or None


def _number(data: bytes, position: int, form: str = "<I") -> int:
    """An integer of the flatbuffer; ValueError outside it."""
    if position < 0:
        raise ValueError("an offset leads out of the metadata")
    return int(struct.unpack_from(form, data, position)[0])


class _Table:
    """One table with every access checked: ValueError or struct.error if it leads outside."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - _number(data, position, "<i")

    def _field(self, number: int) -> int:
        """Where a field stands; 0 if it is absent."""
        entry = 4 + 2 * number
        if entry + 2 > _number(self._data, self._vtable, "<H"):
            return 0
        offset = _number(self._data, self._vtable + entry, "<H")
        return self._position + offset if offset else 0

    def has(self, number: int) -> bool:
        """Whether a field is there."""
        return self._field(number) != 0

    def byte(self, number: int) -> int:
        """A scalar of one byte; 0 if it is absent."""
        place = self._field(number)
        return _number(self._data, place, "<B") if place else 0

    def integer(self, number: int) -> int:
        """A scalar of four bytes without sign; 0 if it is absent."""
        place = self._field(number)
        return _number(self._data, place) if place else 0

    def table(self, number: int) -> _Table:
        """The table that a field refers to; ValueError if it is absent."""
        place = self._field(number)
        if not place:
            raise ValueError("a table is missing")
        return _Table(self._data, place + _number(self._data, place))

    def _vector(self, number: int) -> tuple[int, int]:
        """Where the first element stands, and how many there are; 0 if the vector is absent."""
        place = self._field(number)
        if not place:
            return 0, 0
        start = place + _number(self._data, place)
        count = _number(self._data, start)
        if count > _MOST_ENTRIES:
            raise ValueError("more entries than any real metadata has")
        return start + 4, count

    def tables(self, number: int) -> list[_Table]:
        """The tables of a vector."""
        start, count = self._vector(number)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._data, place + _number(self._data, place)) for place in places]

    def floats(self, number: int) -> tuple[float, ...]:
        """The floats of a vector."""
        start, count = self._vector(number)
        return struct.unpack_from(f"<{count}f", self._data, start)
