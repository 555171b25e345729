"""From a bench to the smallest candidate that is good enough, or to the best one within a size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from .allocation import base_prices, sensitivities
from .bench import Bench
from .curve import Curve
from .plan import CANDIDATES, MOST_IN_ORDER
from .points import Point, Search, furthest

_FIRST: Final = 0.5
"""Multiplier at which a search begins."""

_STEP: Final = 1.25
_MOST_STEPS: Final = MOST_IN_ORDER - 1
"""Ratio between multipliers that are tried in order, and how many. The last is in between, once one goes too far."""

_WORTH_IT: Final = 0.99
"""Share of the bits after a step from which on there is no further one: codes of few bits have little left to save."""

_CLOSE: Final = 1.1
_CLOSE_IN_SIZE: Final = 1.03
"""Up to which factor the multiplier is found; a size, unlike a fidelity, is known for certain."""

_SLIGHTLY: Final = 1.03, 1.1
"""How much further to go where clustering in order makes a zip that no longer fits."""

_HEAVIEST: Final = 256 << 20
"""Bytes of weights of which two versions are kept at once."""


def search(bench: Bench, is_good: Callable[[Point], bool], usual: Callable[[Point], bool] | None = None) -> Search:
    """Find the cheapest candidate that is good and leave it in the copy; if none is, the last one tried.

    usual: what else is asked for, and scatters less. The candidate that it leads to is a good one too, if it happens to
    be: whoever asks for less than the usual is not to get a larger file.
    """

    def visit(curve: Curve) -> Point | None:
        start = None if usual is None or _is_heavy(bench) else _cheapest(curve, usual, _FIRST)
        if start is None or not is_good(start):
            return _cheapest(curve, is_good, _FIRST)
        kept = bench.copy.contents()
        found = _cheapest(curve, is_good, start.multiplier)
        if found is not None and found.bits < start.bits:
            return found
        bench.copy.put_back(kept)
        return start

    return _search(bench, visit)


def search_size(bench: Bench, fits: Callable[[], bool]) -> Search:
    """Find the candidate of best fidelity of which `fits` says that it is small enough, likewise."""

    def visit(curve: Curve) -> Point | None:
        def is_good(inverse: float) -> bool:
            curve.visit(1 / inverse)
            return fits()

        inverse = furthest(is_good, 1 / _FIRST, _CLOSE_IN_SIZE)
        if inverse is None:
            return None
        best = curve.come_back(1 / inverse)
        return _in_order(curve, best, (1.0, *_SLIGHTLY), lambda _: fits())

    return _search(bench, visit)


def repeat(bench: Bench, prices: dict[int, float], in_order: bool) -> Search:
    """Do again what a search chose: prices by the number of each weight of the bench."""
    curve = Curve(bench, prices)
    point = curve.visit_in_order(1.0) if in_order else curve.visit(1.0)
    return Search((point,), point, bench.known_floor, bench.observed, {}, prices)


def _search(bench: Bench, visit: Callable[[Curve], Point | None]) -> Search:
    jobs = list(bench.jobs.values())

    def tell(done: int, total: int) -> None:
        bench.progress("Measuring sensitivities", done, total)

    silent = bench.judge.is_silent  # then all tensors keep the same ratio of signal to noise
    found = np.zeros(len(jobs)) if silent else sensitivities(bench.clusterer, jobs, bench.judge_few, tell)
    prices = dict(zip(bench.jobs, base_prices(jobs, found).tolist(), strict=True))
    expected = CANDIDATES + (MOST_IN_ORDER if _allows_passes(bench) else 0)
    curve = Curve(bench, prices, expected=expected)
    chosen = visit(curve)
    bench.progress("Searching", expected, expected)
    last = chosen or curve.points[-1]
    return Search(
        points=tuple(curve.points),
        chosen=chosen,
        floor=bench.known_floor,
        observed=bench.observed,
        sensitivities=dict(zip(bench.jobs, found.tolist(), strict=True)),
        prices={number: price * last.multiplier for number, price in curve.prices.items()},
    )


def _cheapest(curve: Curve, is_good: Callable[[Point], bool], first: float) -> Point | None:
    """The cheapest candidate that is good, in the copy, of those that a search from a first multiplier on comes by."""
    multiplier = furthest(lambda at: is_good(curve.visit(at)), first, _CLOSE)
    return None if multiplier is None else _further(curve, curve.come_back(multiplier), is_good)


def _further(curve: Curve, best: Point, is_good: Callable[[Point], bool]) -> Point:
    """Cluster the layers in order, from the multiplier of a good point on as far as that is good."""
    point = _in_order(curve, best, (1.0,), is_good)
    if not point.in_order:
        return best
    best, kept, step = point, curve.bench.copy.contents(), _STEP
    for _ in range(_MOST_STEPS):
        point, is_last = curve.visit_in_order(best.multiplier * step), step < _STEP
        if is_good(point):
            is_last = is_last or point.bits > _WORTH_IT * best.bits
            best, kept = point, curve.bench.copy.contents()
        else:
            curve.bench.copy.put_back(kept)
            step = math.sqrt(_STEP)
        if is_last:
            break
    return best


def _in_order(curve: Curve, best: Point, factors: Sequence[float], is_good: Callable[[Point], bool]) -> Point:
    """The layers clustered in order, at the first of some multiples of the best point's price that is good.

    Only if that does better than the best point on samples it has not seen; else the best point.
    """
    bench = curve.bench
    if not _allows_passes(bench):
        return best
    kept = bench.copy.contents()
    for factor in factors:
        point = curve.visit_in_order(best.multiplier * factor)
        if is_good(point):
            if point.quality.contrast > best.quality.contrast:
                return point
            break
    bench.copy.put_back(kept)
    return best


def _allows_passes(bench: Bench) -> bool:
    """Whether clustering the layers in order takes neither too long nor too much memory."""
    return bench.observed > 1 and not _is_heavy(bench) and bench.pass_samples > 0


def _is_heavy(bench: Bench) -> bool:
    """Whether two versions of the weights are too much to keep at once."""
    return sum(job.weight.span.size for job in bench.jobs.values()) > _HEAVIEST
