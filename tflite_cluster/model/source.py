"""The bytes of a file as they were at one moment. Changing or truncating the file afterwards does no harm.

Truncating a mapped file kills the process that still reads it, so only copies that nobody else can reach are mapped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from ..errors import ModelError, OutputError
from .recognise import what_folder

_IN_MEMORY: Final = 256 << 20
"""Larger files are read from a copy on disk."""

CHUNK: Final = 1 << 20

Bytes: TypeAlias = "bytes | memoryview"


def take(path: Path, scratch: Path | None = None) -> memoryview:
    """The content of a file: in memory, or mapped from a copy without a name if it is large.

    scratch: folder for such a copy; by default the system's. Raises ModelError if this is no file that holds anything,
    OSError if it cannot be read, OutputError if there is no room for the copy.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ModelError(f"not a .tflite model: it is {what_folder(path)}")
    if not stat.S_ISREG(mode):  # before it is opened, which for a pipe would wait for a writer
        raise ModelError("not a regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise ModelError("the file is empty")
        if size > _IN_MEMORY:
            return _mapped_copy(file, size, scratch)
        content = file.read(size)
        if len(content) != size:
            raise ModelError("changed while it was read")
        return memoryview(content)


def forget(data: memoryview, start: int, stop: int) -> None:
    """Let go of the memory that the pages of a mapped file take, once they have been read."""
    mapped = data.obj
    if start < stop and isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, first, stop - first)


def same(first: Bytes, second: Bytes) -> bool:
    """Whether two runs of bytes are the same; memoryviews by themselves compare one byte after the other."""
    return len(first) == len(second) and all(
        bytes(first[start : start + CHUNK]) == bytes(second[start : start + CHUNK])
        for start in range(0, len(first), CHUNK)
    )


def is_still(path: Path, data: memoryview) -> bool:
    """Whether the file holds exactly these bytes."""
    try:
        with path.open("rb") as file:
            for start in range(0, len(data), CHUNK):
                part = data[start : start + CHUNK]
                if not same(file.read(len(part)), part):
                    return False
                forget(data, start, start + len(part))
            return not file.read(1)
    except OSError:
        return False


def _mapped_copy(file: BinaryIO, size: int, scratch: Path | None) -> memoryview:
    with tempfile.TemporaryFile(dir=scratch) as copy:
        try:
            _copy(file, copy, size)
        except OSError as error:
            raise OutputError(
                f"{file.name}: a copy to read from needs {size:,} bytes in {scratch or tempfile.gettempdir()}: "
                f"{error.strerror}"
            ) from error
        if os.fstat(copy.fileno()).st_size != size:
            raise ModelError("changed while it was read")
        return memoryview(mmap.mmap(copy.fileno(), size, access=mmap.ACCESS_READ))


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    done = 0
    with contextlib.suppress(OSError, AttributeError):  # the kernel's way is not there, or not between these two
        while count := os.copy_file_range(source.fileno(), target.fileno(), size - done, done, done):
            done += count
    source.seek(done)
    target.seek(done)
    shutil.copyfileobj(source, target, CHUNK)
    target.flush()
