"""How many bytes a file takes after gzip, zip and xz, by really compressing it."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, cast


class _Counter(io.RawIOBase):
    """A file that only knows how long it is: what is written to it is counted and dropped."""

    def __init__(self, cancelled: threading.Event) -> None:
        self.position = self.length = 0
        self.cancelled = cancelled

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + (0, self.position, self.length)[whence]
        return self.position

    def write(self, data: Any) -> int:
        if self.cancelled.is_set():
            raise CancelledError
        written = memoryview(data).nbytes
        self.position += written
        self.length = max(self.length, self.position)
        return written


Compressor = Callable[[Path, _Counter], None]


def _gzip6(source: Path, sink: _Counter) -> None:
    with (
        source.open("rb") as file,
        gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=6, mtime=0) as archive,
    ):
        shutil.copyfileobj(file, archive)


def _zip9(source: Path, sink: _Counter) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=9, strict_timestamps=False) as archive:
        archive.write(source, "model.tflite")


def _xz(source: Path, sink: _Counter) -> None:
    with source.open("rb") as file, lzma.LZMAFile(cast(IO[bytes], sink), "wb") as archive:
        shutil.copyfileobj(file, archive)


COMPRESSORS: Final[dict[str, Compressor]] = {"gzip6": _gzip6, "zip9": _zip9, "xz": _xz}


def compressed_size(path: Path, compressor: str, cancelled: threading.Event | None = None) -> int:
    """Bytes that the file takes in the format named in COMPRESSORS; raises CancelledError once `cancelled`."""
    sink = _Counter(cancelled or threading.Event())
    COMPRESSORS[compressor](path, sink)
    return sink.length


class Scales:
    """Weighs files in the background; leaving the context drops what is still under way."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._cancelled = threading.Event()

    def __enter__(self) -> Scales:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)

    def weigh(self, path: Path, compressors: Iterable[str]) -> dict[str, Future[int]]:
        """Start to compress the file in each format, by its name in COMPRESSORS."""
        return {name: self._pool.submit(compressed_size, path, name, self._cancelled) for name in compressors}


def deflated_bits(data: bytes | memoryview, count: int) -> float:
    """Bits that deflate (level 6) spends on each of the `count` elements stored in `data`."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return 8 * (len(packer.compress(data)) + len(packer.flush())) / count if count else 0.0
