"""Points of the rate-distortion curve, and the search along it for the furthest one that is still good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .quality import Quality

_STRIDE: Final = 2.5
_EQUAL_STRIDES: Final = 2
"""How long the first strides are, and how many are; on a logarithmic scale each later one is twice as long."""

_RANGE: Final = 1e8
_MOST_EVALUATIONS: Final = 14


@dataclass(frozen=True)
class Point:
    """One candidate: multiplier of all prices, whether layers were clustered in the order in which they are run,
    entropy in bits per weight, SQNR of the weights in dB (in the mean over all of them), how well it does, and what
    feedback saved, in dB of the output's error, by the number of each weight that has any.
    """

    multiplier: float
    in_order: bool
    bits: float
    weight_sqnr: float
    quality: Quality
    gains: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """What a search did."""

    points: tuple[Point, ...]
    """In the order evaluated."""
    chosen: Point | None
    """None if no candidate was good."""
    floor: Quality | None
    """The noise floor; None if it is not known."""
    observed: int
    """How many tensors had their inputs observed."""
    sensitivities: dict[int, float]
    """By the number of each weight."""
    prices: dict[int, float]
    """By the number of each weight."""


def furthest(is_good: Callable[[float], bool], first: float, close: float) -> float | None:
    """The largest position found to be good, up to a factor of `close`; None if none is.

    Strides away from `first`, further and further, then halves the interval, both on a logarithmic scale.
    """
    good, bad, position, stride = 0.0, math.inf, first, _STRIDE
    for evaluations in range(_MOST_EVALUATIONS):
        if evaluations >= _EQUAL_STRIDES:
            stride *= stride
        if is_good(position):
            good = position
        else:
            bad = position
        if not good:
            position = bad / stride
        elif math.isinf(bad):
            position = good * stride
        elif bad / good <= close:
            break
        else:
            position = math.sqrt(good * bad)
        if not 1 / _RANGE <= position / first <= _RANGE:
            break
    return good or None
