"""A model packed for delivery, by the best deflate there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..model.draft import check_destination
from ..model.read import open_model
from ..packing.archive import check_suffix, write_archive


@dataclass(frozen=True)
class Packed:
    """An archive that was written, and the bytes of the model and of the archive."""

    destination: Path
    file_bytes: int
    packed_bytes: int


def pack(source: str | Path, destination: str | Path, *, force: bool = False) -> Packed:
    """Pack a model into a standard archive, deflated by libdeflate at level 12.

    source: a .tflite file. destination: a .zip file, which will hold the model under its own name, or a .gz file.
    force: replace what is there.

    The same model under the same name gives the same bytes at any time: no archive holds a time or an owner. Any unzip
    or gunzip reads them. Nothing is written, and what was at the destination stays, when this raises: ConfigError (the
    archive's name), ModelError (the model is not safe to read) or OutputError.
    """
    source, destination = Path(source), Path(destination)
    check_suffix(destination)
    check_destination(source, destination, force)
    size = open_model(source).size
    return Packed(destination, size, write_archive(source, destination))
