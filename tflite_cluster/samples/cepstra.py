"""Cepstra over time, which speech models take. The first coefficient is far larger than the others, and far from 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from .coloured import coloured
from .signals import Reals

_COEFFICIENTS: Final = 8, 40
"""Coefficients of a cepstrum, at least and at most."""

_FIRST: Final = 6.0
"""Ratio of the deviations of the first coefficient, the energy, and the second. Spoken words (300) have 8.2.
From 2 to 8, it hardly matters for what error feedback gains.
"""

_FALL: Final = 0.65
"""The deviation of the others falls as 1 / number ** fall, as it does in the same words."""

_SLOPES: Final = 0.5, 1.2
"""How fast amplitudes over time fall with frequency."""

_LOUDNESS: Final = 0.5, 1.2
_LEVEL: Final = 0.5
"""Mean of the energy over samples, and its deviation from sample to sample, beside the deviation within a sample."""


@dataclass(frozen=True)
class Cepstra:
    """How an input holds cepstra.

    sides: as the model reads it, without sides of 1. axis: that of the coefficients. sign: of the mean energy, 1 or -1.
    """

    sides: tuple[int, int]
    axis: int
    sign: int

    @classmethod
    def likely(cls, shape: tuple[int, ...]) -> Iterator[Cepstra]:
        """Ways in which an input of this shape may hold cepstra: two sides, of which time is the longer one."""
        sides = tuple(side for side in shape if side != 1)
        if len(sides) != 2 or sides[0] == sides[1]:
            return
        least, most = _COEFFICIENTS
        axis = 0 if sides[0] < sides[1] else 1
        if least <= sides[axis] <= most:
            yield from (cls((sides[0], sides[1]), axis, sign) for sign in (-1, 1))

    def noise(self, shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
        """Make one sample of the input's own shape, mostly within -1 to 1."""
        count, time = self.sides[self.axis], self.sides[1 - self.axis]
        numbers = np.arange(1, count)
        deviations = np.concatenate([[1.0], numbers**-_FALL / _FIRST]) * generator.uniform(*_LOUDNESS)
        rows = [
            coloured(generator.standard_normal(time), axes=1, slope=generator.uniform(*_SLOPES)) for _ in range(count)
        ]
        cepstra = np.stack(rows) * deviations[:, None]
        cepstra[0] += generator.normal(self.sign * _LEVEL, _LEVEL)
        values: Reals = 0.5 * (cepstra if self.axis == 0 else cepstra.T)
        return values.reshape(shape)
