"""Constants of elementwise operators: which were learned, and which were made by a formula and are left alone.

A learned table may be as inexact as a weight. Grids and anchors of detectors, masks, windows and positions by sine are
exact numbers, where a small change can be a large error; their values show what they are.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

SMALLEST: Final = 1024
"""Bytes of the smallest table worth touching."""

_FEW: Final = 16
"""Distinct values up to which a table is a mask, or clustered already."""

_REPEATS: Final = 8
"""How often values come in the mean from which on floats are taken for a grid; learned ones hardly repeat."""

_MOST_SHORT_FLOATS: Final = 1 << 14
"""Learned floats of 16 bits may repeat beyond this many values, because the type has few more in a usual range."""

_SMOOTH: Final = 0.4
"""Median difference between neighbours, relative to that from the median of all values: smaller ones show a formula.
Learned tables have more than 1; medians pass over the places where a grid begins a new row, and over outliers."""


def why_not_learned(values: npt.NDArray[Any], shape: tuple[int, ...], bits: int, nbytes: int) -> str | None:
    """Why a constant is taken for no learned table, in words that follow "it"; None if it is taken for one.

    values: flat, float32 or integer codes, of that shape. bits: of each value as stored; nbytes: of all.
    """
    if nbytes < SMALLEST:
        return "is small"
    if sum(length > 1 for length in shape) < 2:
        return "has one number for each channel or position, as biases and normalisation have"
    if not np.isfinite(values).all():
        return "holds values that are not finite, as masks do"
    ordered = np.sort(values)
    repeats = _repeats(ordered, bits)
    if repeats is None and _is_smooth(values.reshape(shape)):
        return "follows a formula, as grids, windows and positions do"
    return repeats


def _repeats(ordered: npt.NDArray[Any], bits: int) -> str | None:
    """What ascending values are that come more often than learned ones would; None if they do not."""
    distinct = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    if distinct <= _FEW:
        return "holds few different values, as masks do"
    if ordered.dtype.kind != "f":
        return None
    most = len(ordered) if bits > 16 else min(len(ordered), _MOST_SHORT_FLOATS)
    if distinct * _REPEATS <= most:
        return "holds the same values again and again, as grids and anchors do"
    is_whole = np.array_equal(2 * ordered, np.rint(2 * ordered))
    return "holds whole and half numbers, as grids and indices do" if is_whole else None


def _is_smooth(table: npt.NDArray[Any]) -> bool:
    """Whether neighbours along some axis are much closer than any two values of the table are."""
    real = table.astype(np.float64)
    spread = float(np.median(np.abs(real - np.median(real))))
    axes = [axis for axis, length in enumerate(table.shape) if length > 1]
    return any(float(np.median(np.abs(np.diff(real, axis=axis)))) < _SMOOTH * spread for axis in axes)
