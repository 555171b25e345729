"""The names of the classes that a model carries: a text file in the zip archive that metadata tools append to it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Final

from .read import Model

_TAIL: Final = 4 << 20
"""Only so much of the file's end is searched for an archive: label files are small."""

_MOST_ENTRIES: Final = 32
_MOST_BYTES: Final = 1 << 20
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def class_names(model: Model) -> tuple[str, ...]:
    """Names of the classes in the order of their numbers; none where there is no single label file that is safe to
    open: an archive that cannot be read is ignored.
    """
    tail = bytes(model.data[max(0, model.size - _TAIL) :])
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            entries = [entry for entry in archive.infolist()[:_MOST_ENTRIES] if _is_label_file(entry.filename)]
            if len(entries) != 1:
                return ()
            with archive.open(entries[0]) as file:
                content = file.read(_MOST_BYTES + 1)
    except _UNREADABLE:
        return ()
    if len(content) > _MOST_BYTES:
        return ()
    lines = content.decode("utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines)


def _is_label_file(name: str) -> bool:
    return name.lower().endswith(".txt") and "label" in name.lower()
