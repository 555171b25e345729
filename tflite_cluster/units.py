"""Sizes and ratios as people write them."""

from __future__ import annotations

import contextlib
import math
from typing import Final

_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(text: str) -> int:
    """Bytes from "1200", "1.2MB" or "4 GiB"; raises ValueError if it is none of these."""
    number = text.rstrip("BKMGIbkmgi ")
    unit = text[len(number) :].strip().upper()
    try:
        count = int(float(number) * _UNITS[unit])
    except (KeyError, OverflowError, ValueError):
        count = 0
    if count <= 0:
        raise ValueError(f"{text!r} is not a size: write it like 500MB or 4GB")
    return count


def size_words(before: int, after: int) -> str:
    """Two sizes in bytes, as in "12.9 → 3.0 MB": in the largest unit that tells both."""
    scales = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
    unit, factor = next((scale for scale in scales if before >= scale[1] and after >= scale[1] / 10), ("bytes", 1))
    if factor == 1:
        return f"{before:,} → {after:,} bytes"
    return f"{_digits(before / factor)} → {_digits(after / factor)} {unit}"


def _digits(number: float) -> str:
    """Two or three digits that count."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 0.995 else f"{number:.2f}"


def decibels(value: float | None, with_unit: bool = False) -> str:
    """A ratio in words of a table; an infinite one means that nothing differs."""
    if value is None:
        return ""
    if math.isinf(value):
        return "exact" if value > 0 else "none"
    return f"{value:.1f}{' dB' if with_unit else ''}"


_LEAST_SIZE: Final = 100
"""Bytes that no model fits in: who writes that few has left out the percent sign."""


def parse_share(text: str, whole: int) -> int:
    """Bytes of a `whole`, from "25%", "4x" (a quarter of it) or a size of its own; raises ValueError."""
    number, size = math.nan, 0
    with contextlib.suppress(ValueError):
        if text.endswith(("%", "x", "X")):
            number = float(text[:-1])
        else:
            size = parse_bytes(text)
    if size > _LEAST_SIZE:
        return size
    if not 1e-9 < number < 1e9:
        raise ValueError(f"{text!r} is not a size of a model: write it like 1.2MB, 25% or 4x")
    return int(whole * number / 100) if text.endswith("%") else int(whole / number)
