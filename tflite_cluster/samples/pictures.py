"""Pictures of shapes that hide each other: synthetic samples with the edges and the spectrum of photographs.

They are dead leaves (Lee, Mumford and Huang 2001): shapes of all sizes, each of its own colour and roughness. Their
edges wake units of a network that noise leaves asleep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from .coloured import coloured
from .signals import Reals

_MOST_LEAVES: Final = 400
_LEAF_SIZES: Final = 0.03, 0.6
"""Radii, as shares of the shortest side."""

_BARE: Final = 0.02
"""Share of a picture that is left to the ground at least."""

_LEAST_DEVIATION: Final = 1e-9


def picture(sides: tuple[int, ...], channels: int, generator: np.random.Generator) -> Reals:
    """One picture of mean 0 and variance 1, (*sides, channels)."""
    grain = ground(sides, channels, generator.uniform(0.3, 1.2), generator)
    owner = np.zeros(sides, np.int16)  # the leaf that shows at each place, from 1 on, or the ground
    grid = np.meshgrid(*(np.arange(side, dtype=np.float64) for side in sides), indexing="ij", sparse=True)
    colours, roughness = [np.zeros(channels)], [1.0]
    left = owner.size
    for number in range(1, _MOST_LEAVES + 1):
        left -= _lay_leaf(owner, number, grid, generator)
        colours.append(0.9 * generator.standard_normal() + 0.45 * generator.standard_normal(channels))
        roughness.append(generator.exponential(0.25))
        if left < _BARE * owner.size:
            break
    result = np.array(colours).take(owner, 0) + np.array(roughness).take(owner)[..., None] * grain
    shade = coloured(generator.standard_normal(sides), axes=len(sides), slope=1.5)
    result += 0.25 * shade[..., None]
    deviation = max(float(result.std()), _LEAST_DEVIATION)
    result -= result.mean()
    result /= deviation
    return np.asarray(result)


def ground(sides: tuple[int, ...], channels: int, slope: float, generator: np.random.Generator) -> Reals:
    """Noise with most of its structure in common to all channels, (*sides, channels)."""
    common = generator.standard_normal((*sides, 1))
    own = generator.standard_normal((*sides, channels))
    return coloured(0.8 * common + 0.6 * own, axes=len(sides), slope=slope)


def _lay_leaf(owner: npt.NDArray[np.int16], number: int, grid: Sequence[Reals], generator: np.random.Generator) -> int:
    """Let an ellipse or a box at any angle own what it covers of the bare ground; give how many places that is.

    Small ones are more likely than large ones. grid: the coordinates of all places along each axis, to be broadcast.
    """
    sides, axes = owner.shape, owner.ndim
    smallest, largest = _LEAF_SIZES
    radius = smallest * (1 - generator.random() * (1 - (smallest / largest) ** 2)) ** -0.5
    lengths = (min(sides) * radius * np.exp(generator.normal(0.0, 0.5, axes))).tolist()
    turn = _turn(generator.standard_normal((axes, axes))).tolist()
    middle = (generator.random(axes) * sides).tolist()
    is_round = generator.random() < 0.6
    bounds, offsets = [], []
    for axis, (along, at) in enumerate(zip(turn, middle, strict=True)):
        spans = [abs(share * length) for share, length in zip(along, lengths, strict=True)]
        reach = math.hypot(*spans) if is_round else sum(spans)
        bounds.append(slice(max(int(at - reach), 0), min(int(at + reach) + 2, sides[axis])))
        offsets.append(grid[axis][(slice(None),) * axis + (bounds[-1],)] - at)
    around = owner[tuple(bounds)]
    leaf = around == 0
    total: Reals | float = 0.0
    for direction, length in zip(zip(*turn, strict=True), lengths, strict=True):
        away = sum(offset * (share / length) for offset, share in zip(offsets, direction, strict=True))
        if is_round:
            total = total + np.square(away, out=away)
        else:
            leaf &= np.abs(away, out=away) < 1
    if is_round:
        leaf &= total < 1
    around[leaf] = number
    return int(np.count_nonzero(leaf))


def _turn(directions: Reals) -> Reals:
    """Orthogonal axes from random directions (axes, axes), as LAPACK's QR gives them.

    Two axes are computed here, because a call of QR takes long for so few.
    """
    if len(directions) != 2:
        return np.linalg.qr(directions)[0]
    x, y = directions[:, 0].tolist()
    length = -math.copysign(math.hypot(x, y), x)
    cosine, sine = x / length, y / length
    return np.array([[cosine, sine], [sine, -cosine]])
