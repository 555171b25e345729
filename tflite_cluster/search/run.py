"""From a calibrated model to the smallest candidate that is good enough, or to the best one within a size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from .allocation import base_prices, sensitivities
from .calibrated import CalibratedModel
from .curve import Curve
from .plan import CANDIDATES, IN_SHORT, MOST_IN_ORDER
from .points import MOST_EVALUATIONS, SHORT, Point, Search, expected_border, furthest
from .quality import Quality

_FIRST: Final = 0.5
"""Multiplier at which a search begins."""

_STEP: Final = 1.25
_MOST_STEPS: Final = MOST_IN_ORDER - 1
"""Ratio between multipliers tried with layers in order if no border is expected, and the most that are tried."""

_WIDEST_STEP: Final = 2.0

_WORTH_IT: Final = 0.99
"""Share of the bits after a step from which on there is no further one: codes of few bits have little left to save."""

_CLOSE: Final = 1.1
_CLOSE_IN_SIZE: Final = 1.03
"""Up to which factor the multiplier is found; a size, unlike a fidelity, is known for certain."""

_CLOSE_IN_SHORT: Final = 1.2
"""The same in a short run."""

_SLIGHTLY: Final = 1.03, 1.1
"""How much further to go where clustering in order makes a zip that no longer fits."""

_HEAVIEST: Final = 256 << 20
"""Bytes of weights up to which two versions are kept at once."""


def search(
    calibrated: CalibratedModel,
    is_good: Callable[[Point], bool],
    usual: Callable[[Point], bool] | None = None,
    *,
    by_point: bool = True,
) -> Search:
    """Find the cheapest candidate that is good and leave it in the copy; if none is, the last one tried.

    usual: the criterion of a default run, which scatters less. Its candidate is taken where it is good too and smaller,
    so that a weaker target never gives a larger file. by_point: whether `is_good` looks at nothing but the point, so
    that it can be asked of points that are only expected.
    """

    def explore(curve: Curve) -> Point | None:
        begin = _Way(curve, usual) if usual is not None else None
        way = _Way(curve, is_good, by_point)
        start = None if begin is None or _is_heavy(calibrated) else begin.cheapest(_FIRST)
        if start is None or not is_good(start):
            return way.cheapest(_FIRST)
        kept = calibrated.copy.contents()
        found = way.cheapest(start.multiplier)
        if found is not None and found.bits < start.bits:
            return found
        calibrated.copy.put_back(kept)
        return start

    return _search(calibrated, explore)


def search_size(calibrated: CalibratedModel, fits: Callable[[], bool]) -> Search:
    """Find the most faithful candidate that `fits` and leave it in the copy; if none does, the last one tried."""

    def explore(curve: Curve) -> Point | None:
        def is_good(inverse: float) -> bool:
            curve.evaluate(1 / inverse)
            return fits()

        inverse = furthest(is_good, 1 / _FIRST, _CLOSE_IN_SIZE)
        if inverse is None:
            return None
        best = curve.restore(1 / inverse)
        return _in_order(curve, best, (1.0, *_SLIGHTLY), lambda _: fits())

    return _search(calibrated, explore)


def repeat(calibrated: CalibratedModel, prices: dict[int, float], in_order: bool) -> Search:
    """Do again what a search chose: prices by the number of each weight of the model."""
    curve = Curve(calibrated, prices)
    point = curve.evaluate_in_order(1.0) if in_order else curve.evaluate(1.0)
    return Search((point,), point, calibrated.known_floor, calibrated.observed, {}, prices)


def _search(calibrated: CalibratedModel, explore: Callable[[Curve], Point | None]) -> Search:
    jobs = list(calibrated.jobs.values())

    def tell(done: int, total: int) -> None:
        calibrated.progress("Measuring sensitivities", done, total)

    silent = calibrated.judge.is_silent  # then all tensors keep the same ratio of signal to noise
    found = np.zeros(len(jobs)) if silent else _sensitivities(calibrated, tell)
    prices = dict(zip(calibrated.jobs, base_prices(jobs, found).tolist(), strict=True))
    expected = CANDIDATES + (MOST_IN_ORDER if _allows_passes(calibrated) else 0)
    curve = Curve(calibrated, prices, expected=expected)
    chosen = explore(curve)
    calibrated.progress("Searching", expected, expected)
    last = chosen or curve.points[-1]
    return Search(
        points=tuple(curve.points),
        chosen=chosen,
        floor=calibrated.known_floor,
        observed=calibrated.observed,
        sensitivities=dict(zip(calibrated.jobs, found.tolist(), strict=True)),
        prices={number: price * last.multiplier for number, price in curve.prices.items()},
    )


def _sensitivities(calibrated: CalibratedModel, tell: Callable[[int, int], None]) -> npt.NDArray[np.float64]:
    """Of all weights: those that gradients tell, and the others measured, in the same unit where there are both."""
    effects, jobs = calibrated.effects, calibrated.jobs
    others = [job for number, job in jobs.items() if number not in effects]
    if not effects:
        return sensitivities(calibrated.clusterer, others, calibrated.judge_few, tell)

    def relative_error() -> Quality:
        quality = calibrated.judge_few()
        return replace(quality, distortion=10 ** (-quality.held_out_sqnr / 10))

    found = sensitivities(calibrated.clusterer, others, relative_error, tell) if others else np.zeros(0)
    measured = iter(found.tolist())
    return np.array([effects[n] / job.matrix.codes.size if n in effects else next(measured) for n, job in jobs.items()])


@dataclass(frozen=True)
class _Way:
    """A search along a curve for the cheapest good point. by_point: whether expected points can be judged too."""

    curve: Curve
    is_good: Callable[[Point], bool]
    by_point: bool = True

    def cheapest(self, first: float) -> Point | None:
        """The cheapest good candidate that a search from the first multiplier finds; it is left in the copy."""
        patience = (_CLOSE_IN_SHORT, IN_SHORT) if self.curve.calibrated.effort.is_short else (_CLOSE, MOST_EVALUATIONS)
        multiplier = self._furthest(first, *patience)
        return None if multiplier is None else self._further(self.curve.restore(multiplier))

    def _furthest(self, first: float, close: float, enough: int) -> float | None:
        def is_good(multiplier: float) -> bool:
            return self.is_good(self.curve.evaluate(multiplier))

        return furthest(is_good, first, close, lambda: self._border(in_order=False), enough)

    def _further(self, best: Point) -> Point:
        """Cluster the layers in order, at the multiplier of a good point, then at larger ones while that is good."""
        point = _in_order(self.curve, best, (1.0,), self.is_good)
        if not point.in_order:
            return best
        copy = self.curve.calibrated.copy
        best, kept, bad = point, copy.contents(), math.inf
        for _ in range(_MOST_STEPS):
            multiplier = self._next(best.multiplier, bad)
            if multiplier is None:
                break
            point = self.curve.evaluate_in_order(multiplier)
            if not self.is_good(point):
                bad = point.multiplier
                copy.put_back(kept)
                continue
            is_last = point.bits > _WORTH_IT * best.bits
            best, kept = point, copy.contents()
            if is_last:
                break
        return best

    def _next(self, good: float, bad: float) -> float | None:
        """The next multiplier to try in order, between a good and a bad one; None if it could gain nothing."""
        border = self._border(in_order=True)
        if border is None:
            border = math.sqrt(good * bad) if bad < math.inf else good * _STEP
        if min(border, bad) <= good * _CLOSE:
            return None
        short: float = _CLOSE**SHORT
        return min(border / short, good * _WIDEST_STEP, bad / short)

    def _border(self, *, in_order: bool) -> float | None:
        points = [point for point in self.curve.points if point.in_order == in_order]
        return expected_border(points, self.is_good) if points and self.by_point else None


def _in_order(curve: Curve, best: Point, factors: Sequence[float], is_good: Callable[[Point], bool]) -> Point:
    """The layers clustered in order, at the first of some multiples of the best point's price that is good.

    Only if that does better than the best point on samples it has not seen; else the best point.
    """
    calibrated = curve.calibrated
    if not _allows_passes(calibrated):
        return best
    kept = calibrated.copy.contents()
    for factor in factors:
        point = curve.evaluate_in_order(best.multiplier * factor)
        if is_good(point):
            if _is_closer(point.quality, best.quality):
                return point
            break
    calibrated.copy.put_back(kept)
    return best


def _is_closer(quality: Quality, other: Quality) -> bool:
    """Whether it does better than another on samples that neither has seen."""
    return quality.held_out_sqnr > other.held_out_sqnr and quality.scores_sqnr >= other.scores_sqnr


def _allows_passes(calibrated: CalibratedModel) -> bool:
    """Whether clustering the layers in order takes neither too long nor too much memory."""
    return calibrated.observed > 1 and not _is_heavy(calibrated) and calibrated.pass_samples > 0


def _is_heavy(calibrated: CalibratedModel) -> bool:
    """Whether two versions of the weights are too much to keep at once."""
    return sum(job.weight.span.size for job in calibrated.jobs.values()) > _HEAVIEST
