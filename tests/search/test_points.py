from __future__ import annotations

import math

import pytest

from tflite_cluster.search.points import furthest

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
