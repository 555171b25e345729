from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.search.points import Point, expected_border, furthest
from tflite_cluster.search.quality import Quality

MOST_VISITS = 20
CLOSE = 1.2


class Counted:
    """Good up to a border, and a note of all positions asked for."""

    def __init__(self, border: float) -> None:
        self.border = border
        self.asked: list[float] = []

    def __call__(self, position: float) -> bool:
        self.asked.append(position)
        return position <= self.border


@pytest.mark.parametrize("border", [1e-6, 1e-3, 0.02, 0.49, 0.5, 0.51, 1.0, 3.7, 40.0, 900.0, 1e6])
def test_finds_the_border(border: float) -> None:
    is_good = Counted(border)
    found = furthest(is_good, 0.5, CLOSE)
    assert found is not None
    assert found <= border
    assert border <= found * CLOSE * 1.001
    assert found in is_good.asked
    assert len(is_good.asked) <= MOST_VISITS


@pytest.mark.parametrize(("close", "visits"), [(1.2, 8), (1.03, 10)])
@pytest.mark.parametrize("border", [0.1, 0.3, 0.6, 1.4])
def test_near_the_start_few_visits_are_enough(border: float, close: float, visits: int) -> None:
    is_good = Counted(border)
    found = furthest(is_good, 0.5, close)
    assert found is not None
    assert found <= border <= found * close * 1.001
    assert len(is_good.asked) <= visits


@pytest.mark.parametrize(("border", "visits"), [(0.55, 1), (3.7, 2), (0.31, 2)])
def test_few_visits_can_be_enough(border: float, visits: int) -> None:
    """The first position will do if the border is expected close to it, and else a second one."""
    is_good = Counted(border)
    found = furthest(is_good, 0.5, CLOSE, lambda: border, enough=2)
    assert found is not None
    assert found <= border
    assert len(is_good.asked) == visits


def test_a_good_position_far_from_a_bad_one_is_not_enough() -> None:
    is_good = Counted(0.4)
    found = furthest(is_good, 0.5, CLOSE, lambda: None if len(is_good.asked) > 1 else 0.07, enough=2)
    assert found is not None
    assert is_good.asked[1] < found <= 0.4
    assert len(is_good.asked) <= 4


def test_nothing_good() -> None:
    is_good = Counted(0.0)
    assert furthest(is_good, 1.0, CLOSE) is None
    assert 1 < len(is_good.asked) <= MOST_VISITS
    assert is_good.asked == sorted(is_good.asked, reverse=True)


def test_everything_good() -> None:
    is_good = Counted(math.inf)
    found = furthest(is_good, 1.0, CLOSE)
    assert found == max(is_good.asked)
    assert found > 1000
    assert len(is_good.asked) <= MOST_VISITS


def test_a_bump_does_not_lead_astray() -> None:
    """Good is not always good all the way: what is returned was itself found to be good."""
    asked: dict[float, bool] = {}

    def is_good(position: float) -> bool:
        asked[position] = position < 0.2 or 0.8 < position < 1.5
        return asked[position]

    found = furthest(is_good, 0.5, CLOSE)
    assert found is not None
    assert asked[found]


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_only_ratios_matter(scale: float) -> None:
    plain, scaled = furthest(Counted(3.3), 0.5, CLOSE), furthest(Counted(3.3 * scale), 0.5 * scale, CLOSE)
    assert plain is not None
    assert scaled == pytest.approx(plain * scale)


def point(multiplier: float, slope: float = 10.0, floor: float = 0.0) -> Point:
    """One of a curve whose errors grow by so many dB a decade, above a floor of noise."""
    noise = multiplier ** (slope / 10) + floor
    decibels = 20 - 10 * math.log10(noise)
    quality = Quality(noise, noise, None, math.inf, held_out_sqnr=decibels, scores_sqnr=decibels + 2)
    return Point(multiplier, False, 3.0, 30.0, quality)


def keeps(sqnr: float, loss: float = math.inf) -> Callable[[Point], bool]:
    return lambda point: point.quality.held_out_sqnr >= sqnr and (point.quality.expected_loss or 0) <= loss


def keeps_scores(sqnr: float) -> Callable[[Point], bool]:
    return lambda point: point.quality.scores_sqnr >= sqnr


def sought(is_good: Callable[[Point], bool], slope: float, floor: float = 0.0) -> tuple[float | None, list[Point]]:
    """What a search finds, and the points that it evaluates."""
    points: list[Point] = []

    def evaluate(multiplier: float) -> bool:
        points.append(point(multiplier, slope, floor))
        return is_good(points[-1])

    return furthest(evaluate, 0.5, 1.1, lambda: expected_border(points, is_good)), points


@given(border=st.floats(1e-2, 30.0), slope=st.floats(4.0, 25.0))  # within two of the longest steps
def test_a_straight_curve_takes_few_evaluations(border: float, slope: float) -> None:
    """Wherever the border is, and whether decibels or losses set it."""
    best = point(border, slope).quality
    for is_good in (
        keeps(best.held_out_sqnr),
        keeps(-math.inf, best.expected_loss or 0.0),
        keeps_scores(best.scores_sqnr),
    ):
        found, points = sought(is_good, slope)
        assert found is not None
        assert found <= border * (1 + 1e-9)
        assert border <= found * 1.1 * (1 + 1e-6)
        assert len(points) <= 7


@pytest.mark.parametrize("border", [0.1, 0.3, 0.5, 1.4, 5.0])
@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_near_the_start_four_evaluations_do(border: float, floor: float) -> None:
    found, points = sought(keeps(point(border, 8.0, floor).quality.held_out_sqnr), 8.0, floor)
    assert found is not None
    assert found <= border * (1 + 1e-9)
    assert border <= found * 1.1 * (1 + 1e-6)
    assert len(points) <= 4


def test_wrong_expectations_do_no_harm() -> None:
    for wrong in (1e-9, 0.01, 0.5, 3.0, 1e9):
        is_good = Counted(0.7)
        found = furthest(is_good, 0.5, CLOSE, lambda wrong=wrong: wrong)
        assert found is not None
        assert found <= 0.7
        assert found in is_good.asked
        assert len(is_good.asked) <= MOST_VISITS


def test_no_border_is_expected_where_none_is_in_sight() -> None:
    assert expected_border([point(1.0)], lambda _: True) is None
    assert expected_border([point(1.0)], lambda _: False) is None
