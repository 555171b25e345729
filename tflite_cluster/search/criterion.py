"""What a candidate must keep to be chosen: the user's gates, or by default little expected loss and small errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from ..config import Config
from .bench import Bench
from .clusterer import Job
from .points import Point
from .quality import Quality

_RISK: Final = 0.3
"""Points of top-1 accuracy that may be at risk by default, beyond what rounding alone puts at risk."""

_MOST_RISK: Final = 1.0
"""Points of top-1 accuracy that may be at risk at most, whatever rounding alone puts at risk."""

_LEAST_CONTRAST: Final = 12.0
"""dB that outputs keep by default, whatever rounding alone does to them. Below 10 dB a result counts as degraded; the
margin is for the final check, which sees other samples as well.
"""

_CONTRAST: Final = 20.0
_CONTRAST_SYNTHETIC: Final = 26.0
"""dB that outputs which are no class scores keep by default."""

_SCORES_SYNTHETIC: Final = 20.5
"""dB that class scores keep by default on made-up inputs. Those lie anywhere between the classes, so that points at
risk on them say less than how large errors are beside what tells inputs apart, which is much the same as on real ones.
"""

_WEIGHT_SQNR_SYNTHETIC: Final = 20.0
"""dB that the weights keep in the mean then, should made-up inputs be far from what the model was made for."""

_FLOAT_SQNR_CAREFUL: Final = 26.0
_RESCALED_SQNR_CAREFUL: Final = 28.0
_INTEGER_SQNR_CAREFUL: Final = 34.0
"""dB of the weights from which on made-up inputs are believed as real ones are: of floats, of integers that get other
scales, and of integers that keep theirs, among which many are exact."""

_CLEAN_CONTRAST: Final = 30.0
_CLEAN_RISK: Final = 0.05
"""dB of the outputs, or points of expected loss of class scores, from which on next to nothing changes."""


def criterion(config: Config, bench: Bench, score_drop: Callable[[], float] | None) -> Callable[[Point], bool]:
    """What a candidate must keep: the user's gates, or else what it usually must.

    score_drop: what the candidate in the copy loses of the user's own score, in its units; None if there is none.
    """
    if score_drop is not None and config.max_drop is not None:
        most = config.max_drop
        return lambda point: _holds_gates(point.quality, config) and score_drop() <= most
    if config.has_gates:
        return lambda point: _holds_gates(point.quality, config)
    return usual_criterion(bench)


def usual_criterion(bench: Bench) -> Callable[[Point], bool]:
    """What a candidate must keep by default: little expected loss and small errors."""
    if bench.synthetic:
        return synthetic_criterion(bench.floor, careful_sqnr(bench.jobs.values()))
    return real_criterion(bench.floor)


def real_criterion(floor: Quality, contrast: float = _CONTRAST) -> Callable[[Point], bool]:
    """What real samples must show; floor: the original under other kernels; contrast: dB of outputs that are no class
    scores.

    Integer activations are rounded anew by any change at all. That costs nothing: the original is as far off from what
    it was made of. Variances add, and risk grows with variance, so that what rounding does comes on top.
    """
    risk = min(_RISK + (floor.risk or 0.0), _MOST_RISK)
    contrast = max(min(contrast, floor.contrast), _LEAST_CONTRAST)

    def is_good(point: Point) -> bool:
        quality = point.quality
        if quality.risk is None:
            return quality.contrast >= contrast
        return quality.risk <= risk and quality.contrast >= _LEAST_CONTRAST

    return is_good


def synthetic_criterion(floor: Quality, careful: float) -> Callable[[Point], bool]:
    """What synthetic samples must show: what real ones must, with weights close to what they were; or, of class scores,
    small errors, with what rounding does on top.

    careful: dB of the weights from which on synthetic samples are believed as real ones are.
    """
    is_like_real = real_criterion(floor, _CONTRAST_SYNTHETIC)
    rounded = -10 * math.log10(10 ** (-_SCORES_SYNTHETIC / 10) + 10 ** (-floor.contrast / 10))
    contrast = max(rounded, _LEAST_CONTRAST)

    def is_good(point: Point) -> bool:
        scores = point.quality.risk is not None
        if scores and point.quality.contrast >= contrast and point.weight_sqnr >= _WEIGHT_SQNR_SYNTHETIC:
            return True
        return point.weight_sqnr >= careful and is_like_real(point)

    return is_good


def is_clean(quality: Quality) -> bool:
    """Whether a candidate changes next to nothing: small errors on samples it was not fitted to, or class scores that
    hardly any accuracy is expected to be lost by.
    """
    return quality.contrast >= _CLEAN_CONTRAST or (quality.risk is not None and quality.risk <= _CLEAN_RISK)


def careful_sqnr(jobs: Collection[Job]) -> float:
    """dB of the weights from which on synthetic samples are believed: the mean, over all weights, of what each kind
    keeps with care.
    """
    return float(np.average([_careful(job) for job in jobs], weights=[job.matrix.codes.size for job in jobs]))


def _careful(job: Job) -> float:
    if job.matrix.is_float:
        return _FLOAT_SQNR_CAREFUL
    return _INTEGER_SQNR_CAREFUL if job.vectors is None else _RESCALED_SQNR_CAREFUL


def _holds_gates(quality: Quality, config: Config) -> bool:
    """Whether the samples seen hold all gates; labels that are missing leave max_drop to the expected loss."""
    agreement = config.min_agreement is None or (quality.agreement or 0.0) * 100 >= config.min_agreement
    sqnr = config.min_sqnr is None or quality.sqnr >= config.min_sqnr
    losses = [loss for loss in (quality.drop, quality.risk) if loss is not None]
    drop = config.max_drop is None or config.metric is not None or max(losses, default=math.inf) <= config.max_drop
    return agreement and sqnr and drop
