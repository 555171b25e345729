"""A model packed for delivery: a standard archive of one file, proven by unpacking it again."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from ..errors import ConfigError, OutputError
from ..files import NewFile
from .deflate import write_gzip, write_zip

_CHUNK: Final = 1 << 20
_SUFFIXES: Final = (".zip", ".gz")


def check_suffix(path: Path) -> None:
    """Refuse the name of an archive of an unknown kind; raises ConfigError."""
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError("{path}: an archive is called .zip or .gz", path=path)


def write_archive(source: Path, destination: Path) -> int:
    """Pack a file as its suffix says, put the archive in place in one step, and return its length in bytes.

    A zip holds the file under its own name. The same file under the same name always gives the same bytes. Raises
    OutputError if the archive cannot be written, or does not give the file back; then what was there stays.
    """
    new = NewFile(destination)
    try:
        with new.writing():
            assert new.file is not None
            if destination.suffix.lower() == ".zip":
                write_zip(source, source.name, new.file)
            else:
                write_gzip(source, new.file)
            new.file.flush()
            size = new.path.stat().st_size
            if not _gives_back(new.path, destination.suffix.lower(), source):
                raise OutputError(f"{destination}: the archive does not give {source} back; nothing was written")
        new.commit()
    finally:
        new.discard()
    return size


def _gives_back(archive: Path, suffix: str, source: Path) -> bool:
    """Whether unpacking, by Python's own readers, gives the bytes of the source."""
    if suffix == ".gz":
        with gzip.open(archive) as unpacked:
            return _same(unpacked.read, source)
    with zipfile.ZipFile(archive) as entries, entries.open(entries.infolist()[0]) as entry:
        return _same(entry.read, source)


def _same(read: Callable[[int], bytes], source: Path) -> bool:
    with source.open("rb") as file:
        return all(read(_CHUNK) == block for block in iter(partial(file.read, _CHUNK), b"")) and not read(1)
