"""Standard zip and gzip files, deflated by libdeflate at its highest level; the same bytes at any time and place.

libdeflate searches for the cheapest way to write each block, where zlib takes the first good match. Any unzip and
gunzip reads what it writes.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from ..errors import OutputError

LEVEL: Final = 12
"""The highest of libdeflate's levels."""

DEFLATED: Final = 8
"""Number of the compression method in a zip archive."""

MOST: Final = 0xFFFFFFFF
"""Largest offset and length in a zip archive without the zip64 extension."""

LOCAL: Final = struct.Struct("<4s5H3I2H")
LOCAL_SIGNATURE: Final = b"PK\x03\x04"
ENTRY: Final = struct.Struct("<4s6H3I5H2I")
ENTRY_SIGNATURE: Final = b"PK\x01\x02"
END: Final = struct.Struct("<4s4H2IH")
END_SIGNATURE: Final = b"PK\x05\x06"

_VERSION: Final = 20
_UNIX: Final = 3 << 8
_REGULAR_FILE: Final = 0o100644 << 16
_TIME, _DATE = 0, 1 << 5 | 1  # midnight on 1 January 1980, the first moment that a zip can name
_UTF8: Final = 1 << 11
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # no name and no time; slowest method, unknown system


class Sink(Protocol):
    """What compressed bytes are written to."""

    def write(self, data: bytes | bytearray | memoryview, /) -> object:
        """Take some bytes."""


def deflated(data: bytes | memoryview | mmap.mmap, level: int = LEVEL) -> bytes:
    """The raw deflate stream of these bytes, by libdeflate; all of it is in memory."""
    import deflate

    return bytes(deflate.deflate_compress(data, level))


def write_zip(source: Path, name: str, sink: Sink, level: int = LEVEL) -> None:
    """Write a zip archive that holds the file under this name; raises OutputError where it has 4 GB or more."""
    with _mapped(source) as data:
        stream, size, crc = deflated(data, level), len(data), zlib.crc32(data)
    path = name.encode("utf-8", "replace")
    start = LOCAL.size + len(path) + len(stream)
    if max(size, start + ENTRY.size + len(path)) > MOST:
        raise OutputError(f"{source} is too large for a zip archive that every program reads: pack it as .gz")
    flags = 0 if path.isascii() else _UTF8
    common = (_VERSION, flags, DEFLATED, _TIME, _DATE, crc, len(stream), size, len(path), 0)
    sink.write(LOCAL.pack(LOCAL_SIGNATURE, *common) + path)
    sink.write(stream)
    entry = ENTRY.pack(ENTRY_SIGNATURE, _UNIX | _VERSION, *common, 0, 0, 0, _REGULAR_FILE, 0) + path
    sink.write(entry + END.pack(END_SIGNATURE, 0, 0, 1, 1, len(entry), start, 0))


def write_gzip(source: Path, sink: Sink) -> None:
    """Write a gzip file of the file, without its name."""
    with _mapped(source) as data:
        sink.write(_GZIP_HEAD)
        sink.write(deflated(data))
        sink.write(struct.pack("<2I", zlib.crc32(data), len(data) & MOST))


@contextmanager
def _mapped(source: Path) -> Iterator[bytes | mmap.mmap]:
    with source.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
            yield b""
            return
        with _map(file) as data:
            yield data


def _map(file: IO[bytes]) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
