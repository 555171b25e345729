"""What a bit may cost in each tensor: prices from how much the outputs suffer for each tensor's own error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from .clusterer import Clusterer
from .job import Job
from .quality import Quality

_FIRST_SQNR: Final = 22.0
"""dB of each tensor at which sensitivities are first measured, near where most end up."""

_ROUNDS: Final = 2
_REFERENCE_DISTORTION: Final = 0.03
"""Sum of the tensors' distortions that multiplier 1 aims at, before it is measured."""

_LEAST_DISTORTION: Final = 1e-9
"""Distortion up to which a tensor shows no effect on the outputs: then nothing is known of what it is worth."""

_NO_EFFECT_SQNR: Final = 30.0
"""dB that such a tensor keeps."""

_NO_ERROR_SQNR: Final = 150.0


def sensitivities(
    clusterer: Clusterer, jobs: Sequence[Job], measure: Callable[[], Quality], progress: Callable[[int, int], None]
) -> npt.NDArray[np.float64]:
    """Output distortion per unit of squared real error of each tensor, each perturbed alone.

    The effect is not in proportion to the error far from where a tensor ends up, so that it is measured twice: at equal
    SQNR, then at the prices that follow; the geometric mean of both counts. 0 for a tensor that shows no effect at all,
    which its price keeps close to what it was. A tensor that stays as it is at a price tells nothing there.
    """
    prices = np.array([price_at_sqnr(job, _FIRST_SQNR) for job in jobs])
    logarithms, measured = np.zeros(len(jobs)), np.zeros(len(jobs))
    has_effect = np.zeros(len(jobs), dtype=bool)
    for number in range(_ROUNDS):
        for index, priced in enumerate(clusterer.apply_each(jobs, prices.tolist())):
            distortion = measure().distortion
            has_effect[index] |= distortion > _LEAST_DISTORTION
            distortion = max(distortion, _LEAST_DISTORTION)
            if priced.error > 0:
                logarithms[index] += math.log(distortion / priced.error)
                measured[index] += 1
            progress(number * len(jobs) + index + 1, _ROUNDS * len(jobs))
        found = np.where(measured > 0, np.exp(logarithms / np.maximum(measured, 1)), 0.0)
        prices = base_prices(jobs, found)
    return np.where(has_effect, found, 0.0)


def base_prices(jobs: Sequence[Job], sensitivity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Prices at which every bit buys as much output fidelity wherever it is spent.

    At high rate a tensor of n weights has an error of about n x price / (2 ln 2), whatever its distribution.
    """
    weights = sum(job.matrix.codes.size for job in jobs)
    with np.errstate(divide="ignore"):
        prices = _REFERENCE_DISTORTION * 2 * math.log(2) / weights / sensitivity
    prices = np.where(sensitivity == 0, [price_at_sqnr(job, _NO_EFFECT_SQNR) for job in jobs], prices)
    # Outputs that are not finite tell nothing of a tensor, which then stays next to what it is.
    return np.where(np.isfinite(prices) & (prices > 0), prices, [price_at_sqnr(job, _NO_ERROR_SQNR) for job in jobs])


def price_at_sqnr(job: Job, sqnr: float) -> float:
    """The price that leaves a tensor about that ratio of its power to its error, in dB."""
    noise = job.matrix.power / job.matrix.codes.size * 10 ** (-sqnr / 10)
    return 2 * math.log(2) * max(noise, np.finfo(float).tiny)
