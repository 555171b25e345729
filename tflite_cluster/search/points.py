"""Points of the rate-distortion curve, and the search along it for the furthest one that is still good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from .quality import Quality

_STRIDE: Final = 2.5
_EQUAL_STRIDES: Final = 2
"""How long the first strides are, and how many are; on a logarithmic scale each later one is twice as long."""

_RANGE: Final = 1e8
MOST_EVALUATIONS: Final = 14
_LEAST_EXPECTED: Final = 2
"""Evaluations after which an expectation may end a search."""

_MOST_EXPECTED: Final = 6
"""After so many evaluations, expectations are no longer used, because they have not come true."""

SHORT: Final = 0.25
"""How far before the expected border a search aims, as a power of `close`."""

_FURTHEST: Final = 8.0
"""Largest factor by which a search goes beyond the positions that it knows."""

_SIGHT: Final = 1e4
_HALVINGS: Final = 40
_LEAST_LOSS: Final = 1e-6
_LARGEST_LOGARITHM: Final = 100.0
_DECIBELS: Final = -10 / math.log(10)
_LEAST_SLOPE: Final = 0.2
"""The least slope of a line, as a share of its usual slope."""


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


def furthest(
    is_good: Callable[[float], bool],
    first: float,
    close: float,
    expect: Callable[[], float | None] = lambda: None,
    enough: int = MOST_EVALUATIONS,
) -> float | None:
    """The largest position found to be good, up to a factor of `close`; None if none is.

    Strides away from `first`, further and further, then halves the interval, both on a logarithmic scale. expect: gives
    the border that is expected from the positions seen so far, or None. The search goes there, and ends at a good
    position that is close to it. enough: after so many evaluations it ends as soon as a position is known to be good,
    unless a bad one lies more than a stride away from it. One evaluation earlier, a position is taken if it is close to
    the expected border.
    """
    least = min(_LEAST_EXPECTED, enough - 1)
    good, bad, position, stride = 0.0, math.inf, first, _STRIDE
    for evaluations in range(MOST_EVALUATIONS):
        if evaluations >= _EQUAL_STRIDES:
            stride *= stride
        if is_good(position):
            good = position
        else:
            bad = position
        is_enough = evaluations + 1 >= enough and (math.isinf(bad) or bad / good <= _STRIDE) if good else False
        if is_enough or (good and bad / good <= close):
            break
        border = expect() if evaluations < _MOST_EXPECTED else None
        if border is not None and good and good <= border <= good * close and evaluations + 1 >= least:
            break
        if not good:
            position = bad / stride
        elif math.isinf(bad):
            position = good * stride
        else:
            position = math.sqrt(good * bad)
        if border is not None:
            position = _toward(border / close**SHORT, good, bad, close)
        if not 1 / _RANGE <= position / first <= _RANGE:
            break
    return good or None


def _toward(border: float, good: float, bad: float, close: float) -> float:
    """The position nearest to the border that is neither out of the interval nor too far from what is known."""
    least, most = good * math.sqrt(close) or bad / _FURTHEST, min(bad / math.sqrt(close), good * _FURTHEST or math.inf)
    return min(max(border, least), most)


def expected_border(points: Sequence[Point], is_good: Callable[[Point], bool]) -> float | None:
    """The multiplier at which points are expected to stop being good; None if that is not in sight.

    points: evaluated ones, at least one. is_good: looks at nothing but the point. Decibels and logarithms of losses are
    assumed to be straight lines over the logarithm of the multiplier. The lines go through the two points nearest to
    the border. If only one point is known, errors are assumed to be in proportion to the multiplier.
    """
    good = [point for point in points if is_good(point)]
    bad = [point for point in points if not is_good(point)]
    ascending = sorted(points, key=lambda point: point.multiplier)
    if good and bad:
        pair = max(good, key=lambda point: point.multiplier), min(bad, key=lambda point: point.multiplier)
    else:
        pair = (ascending[-1], ascending[-2:][0]) if good else (ascending[0], ascending[:2][-1])
    line = _Line(*pair)
    low, high = (math.log(factor * line.at.multiplier) for factor in (1 / _SIGHT, _SIGHT))
    if not is_good(line.point(low)) or is_good(line.point(high)):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_good(line.point(middle)) else (low, middle)
    return math.exp(low)


class _Line:
    """Expected points on the curve through two evaluated points, or through one if both are the same."""

    def __init__(self, one: Point, other: Point) -> None:
        self.at = one
        self._distance = math.log(other.multiplier / one.multiplier)
        self._other = other

    def point(self, logarithm: float) -> Point:
        """At the logarithm of a multiplier."""
        steps = logarithm - math.log(self.at.multiplier)
        quality, other = self.at.quality, self._other.quality
        loss = quality.expected_loss
        if loss is not None and other.expected_loss is not None:
            begin, end = (math.log(max(each, _LEAST_LOSS)) for each in (loss, other.expected_loss))
            loss = math.exp(min(self._go(begin, end, steps, 1.0), _LARGEST_LOGARITHM))
        return replace(
            self.at,
            multiplier=math.exp(logarithm),
            weight_sqnr=self._decibels(self.at.weight_sqnr, self._other.weight_sqnr, steps),
            quality=replace(
                quality,
                expected_loss=loss,
                sqnr=self._decibels(quality.sqnr, other.sqnr, steps),
                held_out_sqnr=self._decibels(quality.held_out_sqnr, other.held_out_sqnr, steps),
                scores_sqnr=self._decibels(quality.scores_sqnr, other.scores_sqnr, steps),
                held_out_sqnr_of_values=self._decibels(
                    quality.held_out_sqnr_of_values, other.held_out_sqnr_of_values, steps
                ),
            ),
        )

    def _decibels(self, one: float, other: float, steps: float) -> float:
        return self._go(one, other, steps, _DECIBELS)

    def _go(self, one: float, other: float, steps: float, usual: float) -> float:
        """usual: the slope where errors are in proportion to the multiplier."""
        if not math.isfinite(one) or not math.isfinite(other):
            return one
        slope = (other - one) / self._distance if self._distance else usual
        if slope / usual < _LEAST_SLOPE:  # noise
            slope = _LEAST_SLOPE * usual
        return one + slope * steps
