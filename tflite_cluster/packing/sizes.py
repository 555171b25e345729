"""How many bytes a file takes after compression, by really compressing it."""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from .coders import CODERS


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


def compressed_size(path: Path, coder: str, cancelled: threading.Event | None = None) -> int:
    """Bytes that the file takes after the coder of this name in CODERS; raises CancelledError once `cancelled`."""
    sink = _Counter(cancelled or threading.Event())
    CODERS[coder].compress(path, cast(IO[bytes], sink))
    return sink.length


@dataclass(frozen=True)
class SizeMeasure:
    """A way to count the bytes of a model.

    what: the thing that takes the bytes, in words after "the". before: bytes of the original. size: bytes of the model
    in a file; it may raise InterpreterFailure.
    """

    what: str
    before: int
    size: Callable[[Path], int]


def measure_by_coder(original: Path, coder: str) -> SizeMeasure:
    """The bytes of the compressed file. coder: its name in CODERS."""
    what = "zip" if coder == "zip9" else f"{CODERS[coder].words} file"
    return SizeMeasure(what, compressed_size(original, coder), partial(compressed_size, coder=coder))


class SizeMeasurements:
    """Measures compressed sizes in the background; leaving the context drops what is still under way."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._cancelled = threading.Event()

    def __enter__(self) -> SizeMeasurements:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, path: Path, coders: Iterable[str]) -> dict[str, Future[int]]:
        """Start to compress the file by each of the coders, by their names in CODERS; the slow ones come last there."""
        started = {
            name: self._pool.submit(compressed_size, path, name, self._cancelled)
            for name in reversed(tuple(coders))  # the slowest begins first, so that no processor waits for it alone
        }
        return dict(reversed(started.items()))


def deflated_bits(data: bytes | memoryview, count: int) -> float:
    """Bits that deflate (level 6) spends on each of the `count` elements stored in `data`."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return 8 * (len(packer.compress(data)) + len(packer.flush())) / count if count else 0.0
