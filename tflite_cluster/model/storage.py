"""Weights as numbers: stored bytes into codes and back, for every storage type that can be clustered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Storage(ABC):
    """How one tensor type keeps its elements. For floats a code is the value itself, as float32."""

    type: str
    bits: int
    low: int = 0
    high: int = 0

    @property
    def is_float(self) -> bool:
        """Whether codes are real values; else they are integers from `low` to `high`."""
        return self.high == self.low

    def nbytes(self, count: int) -> int:
        """Bytes that `count` elements take."""
        return (count * self.bits + 7) // 8

    @abstractmethod
    def decode(self, raw: memoryview, count: int) -> Array:
        """`count` codes from stored bytes: float32 for floats, else the smallest fitting integer type."""

    @abstractmethod
    def encode(self, codes: Array, raw: memoryview) -> memoryview:
        """Codes as bytes again; bits of `raw` (the original bytes) that hold no code are kept."""

    @abstractmethod
    def representable(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The nearest values that this type can hold exactly."""

    def well_packed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Representable values close by whose bytes deflate packs better, where there are such."""
        return self.representable(values)


@dataclass(frozen=True)
class _Plain(Storage):
    """Codes stored one after another in a type that numpy has."""

    dtype: str = ""

    def decode(self, raw: memoryview, count: int) -> Array:
        codes = np.frombuffer(raw, self.dtype, count)
        return codes.astype(np.float32, copy=False) if self.is_float else codes

    def encode(self, codes: Array, raw: memoryview) -> memoryview:
        del raw  # no bits are left over
        return codes.astype(self.dtype, copy=False).data.cast("B")

    def representable(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.is_float:
            return values.astype(self.dtype).astype(np.float64)
        return np.clip(np.round(values), self.low, self.high)


@dataclass(frozen=True)
class _Float32(_Plain):
    def well_packed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Eight bits of mantissa. The last seven stand in the lowest byte once more, with zeros between.

        Matches are found best if one byte alone tells values apart, and literals are cheap if few bytes occur: that
        saves one or two percent against values whose lower bytes are left to chance, and three against zeros.
        """
        bits: npt.NDArray[np.uint32] = values.astype(np.float32).view(np.uint32)
        upper = (bits.astype(np.uint64) + 0x8000 >> 16 << 16).astype(np.uint32)
        packed = (upper | upper >> 16 & np.uint32(0xFF)).view(np.float32)
        return np.where(np.isfinite(packed), packed, values.astype(np.float32)).astype(np.float64)


@dataclass(frozen=True)
class _BFloat16(Storage):
    """The upper half of a float32."""

    def decode(self, raw: memoryview, count: int) -> Array:
        return (np.frombuffer(raw, "<u2", count).astype(np.uint32) << 16).view(np.float32)

    def encode(self, codes: Array, raw: memoryview) -> memoryview:
        del raw
        return (codes.view(np.uint32) >> 16).astype("<u2").data.cast("B")

    def representable(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        bits: npt.NDArray[np.uint32] = values.astype(np.float32).view(np.uint32)
        nearest_even: npt.NDArray[np.uint32] = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        return nearest_even.view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class _Int4(Storage):
    """Two codes to a byte, the low nibble first; of an odd count the last high nibble is not ours."""

    def decode(self, raw: memoryview, count: int) -> Array:
        packed = np.frombuffer(raw, np.uint8)
        codes = np.empty(2 * len(packed), np.int8)
        codes[0::2] = (packed << 4).view(np.int8) >> 4
        codes[1::2] = packed.view(np.int8) >> 4
        return codes[:count]

    def encode(self, codes: Array, raw: memoryview) -> memoryview:
        packed = np.array(np.frombuffer(raw, np.uint8))
        nibbles = codes.astype(np.uint8) & 0xF
        pairs = len(codes) // 2
        packed[:pairs] = nibbles[0 : 2 * pairs : 2] | (nibbles[1::2] << 4)
        if len(codes) % 2:
            packed[-1] = (packed[-1] & 0xF0) | nibbles[-1]
        return packed.data

    def representable(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.clip(np.round(values), self.low, self.high)


STORAGES: Final[dict[str, Storage]] = {
    storage.type: storage
    for storage in (
        _Float32("FLOAT32", 32, dtype="<f4"),
        _Plain("FLOAT16", 16, dtype="<f2"),
        _BFloat16("BFLOAT16", 16),
        _Plain("INT8", 8, -128, 127, dtype="<i1"),
        _Plain("UINT8", 8, 0, 255, dtype="<u1"),
        _Plain("INT16", 16, -32768, 32767, dtype="<i2"),
        _Int4("INT4", 4, -8, 7),
    )
}
