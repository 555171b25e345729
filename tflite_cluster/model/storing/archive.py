"""The zip of label files that may be appended to a model."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from ...errors import ModelError

_END, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE: Final = 22
_ENTRY_SIZE: Final = 46
_LONGEST_COMMENT: Final = 0xFFFF
_ELSEWHERE: Final = 0xFFFFFFFF


def archive_edits(data: memoryview, moved: Callable[[int], int]) -> dict[int, memoryview]:
    """The offsets of an appended zip that change when its bytes move, by their place in the old file.

    Offsets may count from the beginning of the file, as strict readers want it, or from the beginning of the zip: those
    stay. Raises ModelError for an archive whose directory cannot be followed.
    """
    start = max(0, len(data) - _END_SIZE - _LONGEST_COMMENT)
    end = start + bytes(data[start:]).rfind(_END)
    if (
        end < start
        or end + _END_SIZE > len(data)
        or end + _END_SIZE + struct.unpack_from("<H", data, end + 20)[0] != len(data)
    ):
        return {}
    count, size, offset = struct.unpack_from("<HII", data, end + 10)
    directory = end - size
    if offset == _ELSEWHERE:
        raise ModelError("the zip appended to it is of the kind for more than 4 GB, which cannot be moved")
    if directory != offset:
        return {}
    edits = {end + 16: _u32(moved(directory))}
    for _ in range(count):
        if directory + _ENTRY_SIZE > end or data[directory : directory + 4] != _ENTRY:
            raise ModelError("damaged: the directory of the zip appended to it is not what it says")
        (local,) = struct.unpack_from("<I", data, directory + 42)
        if data[local : local + 4] != _LOCAL:
            raise ModelError("damaged: the zip appended to it lists files that are not there")
        edits[directory + 42] = _u32(moved(local))
        directory += _ENTRY_SIZE + sum(struct.unpack_from("<3H", data, directory + 28))
    return edits


def _u32(number: int) -> memoryview:
    return memoryview(struct.pack("<I", number))
