"""Biases rounded to what they need.

A bias is one more column of the weight matrix, whose input is always 1. It may be about as far off as the error of one
weight times its input. Multiples of powers of two end in zero bits, which zip.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .histogram import Array

_LEAST_SQNR: Final = 30.0
"""dB that biases keep, however much the weights lose."""

_SHARE: Final = 1 / 32
"""Of the variance that a weight's error adds to the output. More takes little more off the zip, and begins to show."""


def rounded(biases: Array, noise: Array, unit: Array) -> Array:
    """Biases as multiples of a step, which is a power of two times the unit; all (rows,), or (1,) for all rows alike.

    noise: the variance in each output that comes from the error of one of its weights. unit: 1 for floats, whose steps
    may be smaller, or the real size of an integer's code, whose multiples the caller rounds to.
    """
    most = float(np.mean(biases**2)) * 10 ** (-_LEAST_SQNR / 10)
    wanted = np.sqrt(12 * np.minimum(noise * _SHARE, most)) / unit  # uniform errors of a step s have variance s² / 12
    exact = max(float(np.abs(biases).max()) * 2.0**-40, 1e-100) / unit
    step = np.exp2(np.floor(np.log2(np.maximum(wanted, exact)))) * unit
    result: Array = np.rint(biases / step) * step
    return result
