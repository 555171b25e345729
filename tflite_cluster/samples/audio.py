"""A folder of WAV files as samples of a waveform."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import TensorSpec

SUFFIXES: Final = frozenset({".wav", ".wave"})
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TYPES: Final = {(_PCM, 16): "<i2", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4", (_FLOAT, 64): "<f8"}
_MOST_BYTES: Final = 1 << 30
_SHORTEST: Final = 100
"""Inputs of fewer elements are vectors of something, not waveforms."""


@dataclass(frozen=True)
class Sound:
    """One file: `wave` is [frames], channels mixed, from -1 to 1; `rate` in frames per second."""

    wave: npt.NDArray[np.float32]
    rate: int


@dataclass(frozen=True)
class Windows:
    """Samples of one length. waves: [samples, frames]. counts: how many of them each file gave, in the files' order."""

    waves: npt.NDArray[Any]
    counts: tuple[int, ...]

    @property
    def words(self) -> str:
        """How files were cut, or nothing if each is a sample."""
        files, samples = len(self.counts), len(self.waves)
        if files == samples:
            return ""
        return f"{files} clip{'s' if files > 1 else ''} cut into {samples} windows of {self.waves.shape[1]} frames"


def load_windows(files: list[Path], spec: TensorSpec, where: str, rate: int | None = None) -> Windows:
    """All files for a waveform input, each cut from its start into windows as long as the input; the rest is dropped.

    rate: frames per second that the model takes, if it is known. Raises DataError if the input takes no waveform, or if
    a file cannot be read, is shorter than the input, or has another rate than the model or the first file.
    """
    length = _length(spec, where)
    sounds = [read_wav(path) for path in files]
    for path, sound in zip(files, sounds, strict=True):
        if rate is not None and sound.rate != rate:
            raise DataError(f"{path}: {sound.rate} Hz, where the model takes {rate} Hz; resample it to {rate} Hz")
        if sound.rate != sounds[0].rate:
            raise DataError(f"{path}: {sound.rate} Hz, where {files[0].name} has {sounds[0].rate}; resample them alike")
        if len(sound.wave) < length:
            raise DataError(f"{path}: {len(sound.wave)} frames, where the input {spec.name!r} takes {length}; pad it")
    counts = tuple(len(sound.wave) // length for sound in sounds)
    whole = zip(sounds, counts, strict=True)
    waves = np.concatenate([sound.wave[: count * length].reshape(count, length) for sound, count in whole])
    if spec.dtype == np.int16 and not spec.quantised:
        waves = np.clip(np.round(waves * 32768), -32768, 32767).astype(np.int16)
    return Windows(waves, counts)


def _length(spec: TensorSpec, where: str) -> int:
    sizes = [size for size in spec.shape_signature[-3:] if size != 1]
    takes = spec.dtype.kind == "f" or spec.quantised or spec.dtype == np.int16
    if len(sizes) == 1 and sizes[0] >= _SHORTEST and takes:
        return sizes[0]
    shape = ", ".join("any" if size < 0 else str(size) for size in spec.shape_signature)
    raise DataError(
        f"{where}: a folder of WAV files, but the input {spec.name!r} of shape [{shape}] takes no waveform of one "
        "length; compute its features as for training, and give them in a .npz file"
    )


def read_wav(path: Path) -> Sound:
    """Read a WAV file of 16 or 32-bit PCM or of floats; raises DataError, which names it."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than 1 GB in one sample")
        return _parse(path.read_bytes())
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{path}: cannot be read as WAV: {error}") from error


def _parse(content: bytes) -> Sound:
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("the signature RIFF WAVE is missing")
    position, form = 12, b""
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, position)
        chunk = content[position + 8 : position + 8 + size]
        if kind == b"fmt ":
            form = chunk
        if kind == b"data":
            return _sound(form, chunk)
        position += 8 + size + size % 2
    raise ValueError("there is no sound in it")


def _sound(form: bytes, data: bytes) -> Sound:
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if code == _EXTENSIBLE:
        code = struct.unpack_from("<H", form, 24)[0]
    dtype = _TYPES.get((code, bits))
    if dtype is None or not channels:
        raise ValueError(f"it has {bits} bits in coding {code}; convert it to 16-bit PCM")
    frame = channels * bits // 8
    values = np.frombuffer(data[: len(data) // frame * frame], dtype).reshape(-1, channels)
    scale = 1.0 if code == _FLOAT else 2.0 ** (1 - bits)
    return Sound((values.astype(np.float64).mean(axis=1) * scale).astype(np.float32), rate)
