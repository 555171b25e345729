"""Archives to put models into."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

PADDING = 0xD935


@dataclass(frozen=True)
class File:
    """A file to be put into an archive. step: what its data is aligned to."""

    content: bytes
    deflate: bool = False
    comment: bytes = b""
    extra: bytes = b""
    step: int = 1


class Stream(io.BytesIO):
    """A file that cannot be sought, so that zipfile writes lengths behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def archive(files: list[File], comment: bytes = b"", streamed: bool = False, names: list[str] | None = None) -> bytes:
    content: io.BytesIO = Stream() if streamed else io.BytesIO()
    at = 0
    with zipfile.ZipFile(content, "w") as writer:
        writer.comment = comment
        for number, file in enumerate(files):
            entry = zipfile.ZipInfo(names[number] if names else f"file {number} é", (2001, 2, 3 + number, 4, 5, 6))
            entry.compress_type = zipfile.ZIP_DEFLATED if file.deflate else zipfile.ZIP_STORED
            entry.comment, entry.external_attr = file.comment, number << 16
            start = at + 30 + len(entry.filename.encode()) + len(file.extra) + 6
            entry.extra = file.extra + struct.pack("<3H", PADDING, 2 + -start % file.step, file.step)
            entry.extra += bytes(-start % file.step)
            writer.writestr(entry, file.content)
            at = len(content.getvalue())
    return content.getvalue()


def bundle_of(path: Path, *named: tuple[str, bytes, bool]) -> Path:
    path.write_bytes(
        archive([File(content, deflate) for _, content, deflate in named], names=[name for name, *_ in named])
    )
    return path
