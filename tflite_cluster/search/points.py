"""Points of the rate-distortion curve, and the search along it for the furthest one that is still good."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .quality import Quality

_FIRST: Final = 0.5
_STRIDE: Final = 2.5
_LEAST: Final = 1e-4
_MOST: Final = 100.0
_CLOSE_ENOUGH: Final = 1.1
_MOST_POINTS: Final = 12


@dataclass(frozen=True)
class Point:
    """One candidate: the multiplier of all prices, entropy in bits per weight, and how well it does."""

    multiplier: float
    bits: float
    quality: Quality


def furthest(visit: Callable[[float], Point], is_good: Callable[[Point], bool]) -> tuple[Point | None, list[Point]]:
    """The largest multiplier found that is good, by doubling and halving on a logarithmic scale; None if none is.

    Returns it with all points visited, in order of visiting.
    """
    visited: list[Point] = []
    good: Point | None = None
    bad = math.inf
    multiplier = _FIRST
    while len(visited) < _MOST_POINTS and _LEAST <= multiplier <= _MOST:
        point = visit(multiplier)
        visited.append(point)
        if is_good(point):
            good = point
        else:
            bad = multiplier
        if good is None:
            multiplier = bad / _STRIDE
        elif math.isinf(bad):
            multiplier = good.multiplier * _STRIDE
        elif bad / good.multiplier <= _CLOSE_ENOUGH:
            break
        else:
            multiplier = math.sqrt(good.multiplier * bad)
    return good, visited
