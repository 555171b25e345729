"""The coders that a file can be compressed by: one record each."""

from __future__ import annotations

import gzip
import lzma
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from .deflate import LEVEL, write_zip

_ENTRY: Final = "model.tflite"
"""Name of the model in an archive whose size is measured."""


@dataclass(frozen=True)
class Coder:
    """A way to compress a file.

    name: its key in reports. words: its name for people. write: compresses the file at a path into a binary file that
    can be written and sought, at a level. package: what must be installed besides, if anything. is_slow: whether it
    takes many times as long as zip -9.
    """

    name: str
    words: str
    level: int
    write: Callable[[Path, IO[bytes], int], None]
    package: str | None = None
    is_slow: bool = False

    @property
    def is_available(self) -> bool:
        """Whether its package is installed."""
        return self.package is None or find_spec(self.package) is not None

    def compress(self, source: Path, sink: IO[bytes]) -> None:
        """Compress the file at `source` into a binary file that can be written and sought."""
        self.write(source, sink, self.level)


def _gzip(source: Path, sink: IO[bytes], level: int) -> None:
    with (
        source.open("rb") as file,
        gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=level, mtime=0) as archive,
    ):
        shutil.copyfileobj(file, archive)


def _zip(source: Path, sink: IO[bytes], level: int) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=level, strict_timestamps=False) as archive:
        archive.write(source, _ENTRY)


def _deflate(source: Path, sink: IO[bytes], level: int) -> None:
    write_zip(source, _ENTRY, sink, level)


def _xz(source: Path, sink: IO[bytes], level: int) -> None:
    with source.open("rb") as file, lzma.LZMAFile(sink, "wb", preset=level) as archive:
        shutil.copyfileobj(file, archive)


def _brotli(source: Path, sink: IO[bytes], level: int) -> None:
    import brotli

    compressor = brotli.Compressor(quality=level)
    with source.open("rb") as file:
        while block := file.read(1 << 20):
            sink.write(compressor.process(block))
    sink.write(compressor.finish())


def _zstd(source: Path, sink: IO[bytes], level: int) -> None:
    import zstandard

    with source.open("rb") as file:
        zstandard.ZstdCompressor(level).copy_stream(file, sink, size=source.stat().st_size)


CODERS: Final = {
    coder.name: coder
    for coder in (
        Coder("gzip6", "gzip -6", 6, _gzip),
        Coder("zip9", "zip -9", 9, _zip),
        Coder("deflate12", f"deflate {LEVEL}", LEVEL, _deflate),
        Coder("xz", "xz", 6, _xz, is_slow=True),
        Coder("brotli11", "brotli 11", 11, _brotli, "brotli", is_slow=True),
        Coder("zstd19", "zstd 19", 19, _zstd, "zstandard", is_slow=True),
    )
}
"""All coders by name, in the order of reports."""

USUAL: Final = ("gzip6", "zip9")
"""Coders that are always measured: what app stores count, and what people have."""


_LARGEST_FOR_SLOW: Final = 4 << 20
"""Bytes of the largest file that slow coders compress in a few seconds. They took 60 s for a float32 model of 17 MB,
and as long again for the clustered one: longer than clustering it.
"""


def coders_worth(size: int) -> tuple[str, ...]:
    """Names of the available coders that are quick enough for a file of so many bytes to be measured unasked."""
    return tuple(name for name in available_coders() if size <= _LARGEST_FOR_SLOW or not CODERS[name].is_slow)


def available_coders() -> tuple[str, ...]:
    """Names of the coders whose packages are installed."""
    return tuple(name for name, coder in CODERS.items() if coder.is_available)
