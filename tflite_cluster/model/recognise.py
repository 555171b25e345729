"""What a file is that is no .tflite model, by its first bytes, and what to do about it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BEGINNING: Final = 4096
"""Bytes at the beginning of a file by which it is recognised."""

_TAIL: Final = 4 << 20
"""Bytes at the end of a zip archive in which its list of files is searched."""

_MOST_NAMED: Final = 5
"""Models of a bundle that are named; of more, the number is."""

_C_ARRAY: Final = re.compile(rb"\b(?:unsigned\s+char|uint8_t|char)\b[^;={]*\[[^\]]*\][^;={]*=\s*\{\s*0x")
_UNREADABLE: Final = (ValueError, OSError, NotImplementedError, struct.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Format:
    """A kind of file. starts: one of the ways in which it begins. advice: what it is and what to do, after "it is"."""

    starts: tuple[bytes, ...]
    advice: str


_CONVERT: Final = "convert it to .tflite first"
FORMATS: Final = (
    Format((b"\x1f\x8b",), "a gzip file: unpack it first (gunzip)"),
    Format((b"version https://git-lfs.github.com/",), "a pointer of Git LFS: fetch the model itself (git lfs pull)"),
    Format((b"<!doctype html", b"<html", b"<?xml"), "a web page: the download went wrong, get the file itself"),
    Format((b"LITERTLM",), "a LiteRT-LM bundle (.litertlm): cluster it as a whole (tflite-cluster BUNDLE OUT)"),
    Format((b"\x89HDF\r\n\x1a\n",), f"a Keras model in HDF5 (.h5): {_CONVERT}"),
    Format((b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\x00", b"BZh", b"(\xb5/\xfd"), "a compressed file: unpack it first"),
    Format((b"\x08\x01\x12",), f"a TensorFlow SavedModel (saved_model.pb): {_CONVERT}"),
)
"""Formats that are recognised by how they begin; in text, capitals and space ahead do not matter."""


def what_it_is(data: memoryview) -> str | None:
    """What a file seems to be and what to do, in words that follow "it is"; None if that is not known."""
    beginning = bytes(data[:_BEGINNING])
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for form in FORMATS:
        if beginning.startswith(form.starts) or text.startswith(form.starts):
            return form.advice
    return next((found for check in _CHECKS if (found := check(data, beginning)) is not None), None)


def what_folder(path: Path) -> str:
    """What a folder is that was given as a model, in words that follow "it is"."""
    is_saved_model = (path / "saved_model.pb").is_file()
    return f"the folder of a TensorFlow SavedModel: {_CONVERT}" if is_saved_model else "a folder: name the .tflite file"


def _zip(data: memoryview, beginning: bytes) -> str | None:
    if not beginning.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data[-_TAIL:])) as archive:
            names = archive.namelist()
    except _UNREADABLE:
        return "a damaged zip archive: fetch it again"
    return _zip_of(names)


def _zip_of(names: list[str]) -> str:
    models = [name for name in names if name.lower().endswith((".tflite", ".lite"))]
    if models:
        more = f" and {len(models) - _MOST_NAMED} more" if len(models) > _MOST_NAMED else ""
        named = ", ".join(models[:_MOST_NAMED]) + more
        return f"a zip bundle that holds {named}: cluster it as a whole (tflite-cluster BUNDLE OUT), or unzip it first"
    if any(name.endswith("data.pkl") for name in names):
        return f"a PyTorch model: {_CONVERT}"
    if "config.json" in names and "metadata.json" in names:
        return f"a Keras model (.keras): {_CONVERT}"
    if any(name.endswith("saved_model.pb") for name in names):
        return f"a zip archive of a SavedModel: {_CONVERT}"
    return "a zip archive without a .tflite model in it"


def _c_source(_data: memoryview, beginning: bytes) -> str | None:
    if _C_ARRAY.search(beginning) is None:
        return None
    return (
        "C source, an array of the model's bytes: turn it into a file with "
        "`grep -o '0x[0-9a-fA-F][0-9a-fA-F]*' model.cc | xxd -r -p > model.tflite`, and back into C with `xxd -i`"
    )


def _onnx(_data: memoryview, beginning: bytes) -> str | None:
    """A protocol buffer whose first field is a small version, and whose second is the producer's name."""
    is_like = len(beginning) > 4 and beginning[0] == 8 and beginning[1] < 32 and beginning[2] == 0x12
    return f"an ONNX model: {_CONVERT}" if is_like else None


_CHECKS: Final[tuple[Callable[[memoryview, bytes], str | None], ...]] = (_zip, _c_source, _onnx)
"""Formats that need more than a comparison of the beginning."""
