"""Zip archives that hold models, such as MediaPipe's .task: read, and written again with some entries replaced.

All that is not replaced stays byte for byte: other entries, their order, headers and compression, comments, and bytes
between entries. Stored entries are read in place by apps, so that each keeps the alignment of its data: where an entry
before it changes its length, its local header is padded as Android's tools do that (field 0xD935).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import ClassVar, Final, TypeAlias

from ...errors import ModelError
from ..deflate import (
    DEFLATED,
    END,
    END_SIGNATURE,
    ENTRY,
    ENTRY_SIGNATURE,
    LOCAL,
    LOCAL_SIGNATURE,
    MOST,
    Sink,
    deflated,
)
from .bundle import IDENTIFIER

_STORED: Final = 0
_ENCRYPTED: Final = 1
_DESCRIBED: Final = 1 << 3
"""Flag of an entry whose checksum and lengths stand behind its data."""

_UTF8: Final = 1 << 11
_DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE: Final = 20
_LONGEST_COMMENT: Final = 0xFFFF
_LONGEST_EXTRA: Final = 0xFFFF
_MOST_ENTRIES: Final = 0xFFFF

Block: TypeAlias = "bytes | memoryview"

_NO_MORE: Final[tuple[Block, ...]] = (b"",)
_BLOCK: Final = 1 << 18
"""Bytes that are unpacked at once."""

_CHECKSUM, _LOCAL_CHECKSUM = 16, 14
"""Where checksum and both lengths stand in a record of the directory and in a local header."""

_LOCAL_NAME: Final = 26
"""Where the lengths of name and extra part stand in a local header."""

_OFFSET: Final = 42
_DIRECTORY: Final = 16
"""Where the offset of the directory stands in the end record."""

_PADDING: Final = struct.Struct("<3H")
_PADDING_ID: Final = 0xD935
_COARSEST: Final = 1 << 14
"""The coarsest alignment that is kept, the largest page of memory on Android; a coarser one is chance."""


@dataclass(frozen=True)
class Entry:
    """One file in an archive.

    crc, size: of the file itself. header, start, stop: offsets of its local header, and of its data. record: offset of
    its record in the directory.
    """

    name: str
    method: int
    flags: int
    crc: int
    size: int
    header: int
    start: int
    stop: int
    record: int


@dataclass(frozen=True)
class ZipBundle:
    """An archive: its bytes, its entries in the order of their data, and the offsets of its directory and its end."""

    keeps_lengths: ClassVar[bool] = False
    without_models: ClassVar[str | None] = None

    label: str
    data: memoryview
    entries: tuple[Entry, ...]
    directory: int
    end: int

    def is_model(self, entry: Entry) -> bool:
        """A file that is called like a model, or begins like one."""
        named = entry.name.lower().endswith((".tflite", ".lite"))
        return named or (entry.method in (_STORED, DEFLATED) and self.begin(entry, 8)[4:] == IDENTIFIER)

    def unpack(self, entry: Entry, sink: Sink) -> None:
        """Write the content of a file, in little memory whatever its size.

        Raises ModelError if it is damaged or compressed in a way that is not known.
        """
        size = crc = 0
        for block in self._blocks(entry):
            size += len(block)
            crc = zlib.crc32(block, crc)
            if size > entry.size:
                break
            sink.write(block)
        if size != entry.size or crc != entry.crc:
            raise ModelError(
                f"{self.label}: damaged: the content of '{entry.name}' is not what the archive says: fetch it again"
            )

    def begin(self, entry: Entry, most: int) -> bytes:
        """The first bytes of a file, at most so many; raises ModelError as `unpack` does."""
        return next(self._blocks(entry), b"")[:most]

    def _blocks(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file in blocks of bounded size; raises ModelError as `unpack` does."""
        data = self.data[entry.start : entry.stop]
        packed: Iterator[Block] = (data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK))
        if entry.method == _STORED:
            yield from map(bytes, packed)
            return
        if entry.method != DEFLATED:
            raise ModelError(
                f"{self.label}: '{entry.name}' is compressed by method {entry.method}, and only deflate is known: "
                "pack the bundle with zip"
            )
        unpacker = zlib.decompressobj(-15)
        try:
            for part in chain(packed, _NO_MORE):  # the last for what zlib still holds back
                rest = part
                while (block := unpacker.decompress(rest, _BLOCK)) or unpacker.unconsumed_tail:
                    yield block
                    rest = bytes(unpacker.unconsumed_tail)
        except zlib.error as error:
            raise ModelError(f"{self.label}: damaged: '{entry.name}' cannot be unpacked: fetch it again") from error

    def write(self, contents: Mapping[Entry, bytes], sink: Sink) -> None:
        """Write the archive with new contents of some entries; raises ModelError if it would not fit the format."""
        data, at, done = self.data, 0, 0
        edits: dict[int, bytes] = {}  # of the directory and the end, by their place in the old file
        for entry in self.entries:
            at += _put(sink, data[done : entry.header])
            edits[entry.record + _OFFSET] = struct.pack("<I", at)
            header = bytearray(data[entry.header : entry.start])
            done = _end_of(data, entry, self.label)
            parts: list[bytes | memoryview] = [data[entry.start : done]]
            if entry in contents:
                sums, parts = _replaced(entry, contents[entry], done - entry.stop)
                edits[entry.record + _CHECKSUM] = sums
                if not entry.flags & _DESCRIBED or any(header[_LOCAL_CHECKSUM : _LOCAL_CHECKSUM + len(sums)]):
                    header[_LOCAL_CHECKSUM : _LOCAL_CHECKSUM + len(sums)] = sums
            if entry.method == _STORED:
                _pad(header, entry.start, at - entry.header, self.label)
            at += sum(_put(sink, part) for part in (header, *parts))
        at += _put(sink, data[done : self.directory])
        if at > MOST:
            raise ModelError(f"{self.label}: the new bundle would have more than 4 GB")
        edits[self.end + _DIRECTORY] = struct.pack("<I", at)
        rest = bytearray(data[self.directory :])
        for place, new in edits.items():
            rest[place - self.directory : place - self.directory + len(new)] = new
        sink.write(rest)


class Zip:
    """The container of zip; an empty archive begins in another way."""

    starts = LOCAL_SIGNATURE
    suffix = ".task"

    def read(self, data: memoryview, label: str) -> ZipBundle:
        """Find the entries of a zip archive. Raises ModelError if it is damaged, encrypted, split, or zip64."""
        end = _find_end(data, label)
        _, disk, first_disk, here, count, size, directory, _ = END.unpack_from(data, end)
        zip64 = bytes(data[max(0, end - _ZIP64_LOCATOR_SIZE) :][:4]) == _ZIP64_LOCATOR
        if zip64 or count == _MOST_ENTRIES or MOST in (size, directory):
            raise _is_zip64(label)
        if disk or first_disk or here != count:
            raise ModelError(f"{label}: a part of an archive that is split over several files: join them first")
        if directory + size > end:
            raise _damaged(label, "its directory is not where it says")
        entries, record = [], directory
        for _ in range(count):
            entry, record = _read_entry(data, record, directory, directory + size, label)
            entries.append(entry)
        entries.sort(key=lambda entry: entry.header)
        for entry, following in pairwise(entries):
            if _end_of(data, entry, label) > following.header:
                raise _damaged(label, f"'{entry.name}' and '{following.name}' overlap")
        if entries and _end_of(data, entries[-1], label) > directory:
            raise _damaged(label, f"'{entries[-1].name}' reaches into the directory")
        return ZipBundle(label, data, tuple(entries), directory, end)


def _replaced(entry: Entry, content: bytes, described: int) -> tuple[bytes, list[bytes | memoryview]]:
    """Checksum and lengths of a new content, and its data with their description behind it, of so many bytes."""
    stream = content if entry.method == _STORED else deflated(content)
    sums = struct.pack("<3I", zlib.crc32(content), len(stream), len(content))
    descriptor = (_DESCRIPTOR_SIGNATURE + sums)[4 + len(sums) - described :]
    return sums, [stream, descriptor]


def _put(sink: Sink, data: bytes | bytearray | memoryview) -> int:
    sink.write(data)
    return len(data)


def alignment(start: int) -> int:
    """The coarsest power of two, up to a page, that an offset is a multiple of."""
    return min(start & -start, _COARSEST) if start else _COARSEST


def _pad(header: bytearray, start: int, moved: int, label: str) -> None:
    """Lengthen a local header so that the data behind it is aligned as before, although it begins elsewhere.

    Older versions of zipalign pad with zeros that make up no field: a field behind these would not be read as one, so
    that more zeros follow there.
    """
    step = alignment(start)
    padding = -(start + moved) % step
    if not moved or not padding:
        return
    path, extra = struct.unpack_from("<2H", header, _LOCAL_NAME)
    in_fields = _holds_fields(header[LOCAL.size + path :])
    while in_fields and padding < _PADDING.size:
        padding += step
    if extra + padding > _LONGEST_EXTRA:
        raise ModelError(f"{label}: there is no room to align an entry as it was")
    struct.pack_into("<H", header, _LOCAL_NAME + 2, extra + padding)
    field = _PADDING.pack(_PADDING_ID, padding - 4, step) if in_fields else b""
    header += field + bytes(padding - len(field))


def _holds_fields(extra: bytes | bytearray) -> bool:
    """Whether the extra part of a header is a row of fields, each of a number, a length and so many bytes."""
    at = 0
    while at + 4 <= len(extra):
        at += 4 + struct.unpack_from("<H", extra, at + 2)[0]
    return at == len(extra)


def _find_end(data: memoryview, label: str) -> int:
    """Where the end record is: the last whose comment reaches to the end of the file."""
    start = max(0, len(data) - END.size - _LONGEST_COMMENT)
    tail = bytes(data[start:])
    found = len(tail)
    while (found := tail.rfind(END_SIGNATURE, 0, found)) >= 0:
        if found + END.size <= len(tail) == found + END.size + struct.unpack_from("<H", tail, found + 20)[0]:
            return start + found
    raise _damaged(label, "it ends early, or more bytes follow")


def _read_entry(data: memoryview, record: int, directory: int, end: int, label: str) -> tuple[Entry, int]:
    """An entry of the directory, and where the next record begins."""
    if record + ENTRY.size > end or bytes(data[record : record + 4]) != ENTRY_SIGNATURE:
        raise _damaged(label, "its directory ends early")
    _, _, _, flags, method, _, _, crc, packed, size, path, extra, comment, *_, header = ENTRY.unpack_from(data, record)
    following = record + ENTRY.size + path + extra + comment
    if following > end:
        raise _damaged(label, "its directory ends early")
    stored = bytes(data[record + ENTRY.size : record + ENTRY.size + path])
    name = stored.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    if MOST in (packed, size, header):
        raise _is_zip64(label)
    if flags & _ENCRYPTED:
        raise ModelError(f"{label}: '{name}' is encrypted: decrypt the bundle first")
    if header + LOCAL.size > directory or bytes(data[header : header + 4]) != LOCAL_SIGNATURE:
        raise _damaged(label, f"'{name}' is not where it says")
    local_path, local_extra = struct.unpack_from("<2H", data, header + _LOCAL_NAME)
    start = header + LOCAL.size + local_path + local_extra
    if bytes(data[header + LOCAL.size :][:local_path]) != stored:
        raise _damaged(label, f"'{name}' has another name beside its data")
    if start + packed > directory:
        raise _damaged(label, f"'{name}' ends early")
    if method == _STORED and packed != size:
        raise _damaged(label, f"the lengths of '{name}' contradict each other")
    return Entry(name, method, flags, crc, size, header, start, start + packed, record), following


def _end_of(data: memoryview, entry: Entry, label: str) -> int:
    """Where an entry ends: behind the description of its data, if there is one."""
    if not entry.flags & _DESCRIBED:
        return entry.stop
    sums = struct.pack("<3I", entry.crc, entry.stop - entry.start, entry.size)
    for descriptor in (_DESCRIPTOR_SIGNATURE + sums, sums):
        if bytes(data[entry.stop : entry.stop + len(descriptor)]) == descriptor:
            return entry.stop + len(descriptor)
    raise _damaged(label, f"the data of '{entry.name}' is not described behind it")


def _damaged(label: str, what: str) -> ModelError:
    return ModelError(f"{label}: a damaged zip archive: {what}: fetch it again")


def _is_zip64(label: str) -> ModelError:
    return ModelError(f"{label}: a zip64 archive, for more than 4 GB or 65,534 files: unzip it and cluster each model")


CONTAINER: Final = Zip()
