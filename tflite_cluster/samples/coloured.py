"""Noise whose amplitude falls with frequency."""

from __future__ import annotations

import numpy as np

from .signals import Reals


def coloured(white: Reals, axes: int, slope: float) -> Reals:
    """Filter white noise along its first `axes` axes so that its amplitude falls as 1 / frequency ** slope."""
    sides = white.shape[:axes]
    frequencies = [np.fft.fftfreq(side) for side in sides[:-1]] + [np.fft.rfftfreq(sides[-1])]
    grids = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    distance = np.sqrt(sum((grid**2 for grid in grids), np.zeros(())))
    gain = np.where(distance > 0, np.maximum(distance, 1e-9) ** -slope, 0.0)
    gain = np.reshape(gain, gain.shape + (1,) * (white.ndim - axes))
    along = tuple(range(axes))
    noise = np.fft.irfftn(np.fft.rfftn(white, axes=along) * gain, s=sides, axes=along)
    deviation = float(noise.std())
    return noise / deviation if deviation > 0 else noise
