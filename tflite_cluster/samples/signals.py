"""Signals of other kinds than pictures and sounds, for models that pay no heed to those: each within -1 to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Reals: TypeAlias = npt.NDArray[np.float64]
Signal: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], Reals]

_SHARE_OF_IMPULSES: Final = 0.02
_MOST_TONES: Final = 3


def white(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Noise without any correlation, over the whole range."""
    return generator.uniform(-1.0, 1.0, shape)


def level(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """One value everywhere, or one for each element of the last axis."""
    widths = (1,) * len(shape) if generator.random() < 0.5 else (*(1,) * len(shape[:-1]), *shape[-1:])
    return np.broadcast_to(generator.uniform(-1.0, 1.0, widths), shape)


def impulses(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Silence with a few large values of either sign, at least one on average."""
    share = max(_SHARE_OF_IMPULSES, 1 / max(int(np.prod(shape)), 1))
    values: Reals = np.where(generator.random(shape) < share, generator.choice([-1.0, 1.0], shape), 0.0)
    return values


def tones(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """One to three sinusoids along the longest axis, of any frequency, the low ones as likely as the high ones."""
    if not shape or 0 in shape:
        return np.zeros(shape)
    axis = int(np.argmax(shape))
    time = np.arange(shape[axis])
    count = int(generator.integers(1, _MOST_TONES + 1))
    wave = np.zeros(len(time))
    for _ in range(count):
        frequency = 0.5 * float(len(time)) ** -generator.random()
        wave += np.sin(2 * np.pi * (frequency * time + generator.random())) / count
    widths = [1] * len(shape)
    widths[axis] = len(time)
    return np.broadcast_to(generator.uniform(0.2, 1.0) * wave.reshape(widths), shape)


SIGNALS: Final[tuple[Signal, ...]] = (white, level, impulses, tones)
