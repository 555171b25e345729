"""What a candidate must keep to be chosen: the user's gates, or by default little expected loss and small errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from ..config import Config
from .calibrated import CalibratedModel
from .encodings import RescaledCodes
from .job import Job
from .points import Point
from .quality import Quality

_LOSS: Final = 0.3
"""Points of top-1 accuracy that a candidate may be expected to lose by default, beyond what rounding explains. With
data, MobileNetV1, ResNet8 and DS-CNN-L in float32 lost 0.2, 0.1 and 0.2 points at that limit (docs/results.md).
"""

_MOST_ROUNDING: Final = 0.3
"""Points of expected loss that rounding explains at most. Rounding drawn anew is not seen to be free. Points that int8
forms of three models lost on samples not seen before, with standard errors, in the mean over clusterings from other
samples: where the floor was 0.2 or less and 0.3 to 0.5 points were expected, DS-CNN-L 1.0 +- 0.3 (three forms),
ResNet8 -0.2 +- 0.2 (two), MobileNetV2 0.3 +- 0.8; DS-CNN-L on a coarse grid of activations, whose floor was 1.03,
lost 1.1 +- 0.5 with 1.0 expected, and 0.1 +- 0.3 with 0.65.
"""

_LEAST_SQNR: Final = 12.0
"""dB that outputs keep by default, whatever rounding alone does to them. Below 10 dB a result counts as degraded; the
margin is for the final check, which sees other samples as well.
"""

_SQNR: Final = 20.0
_SQNR_SYNTHETIC: Final = 26.0
"""dB that outputs which are not class scores keep by default, or as many as they keep under other kernels. Chosen, not
measured: no model of the zoo has labels for such outputs. 20 dB is an error of a tenth of the signal's deviation, and
synthetic samples get half of that.
"""

_SCORES_PROBES: Final = 22.5
"""dB that class scores keep by default on probes: 10 log10(P / N). P is the mean square of the scores, and N that of
their errors. Both leave out what all classes share (`Quality.scores_sqnr`). Expected loss is unreliable on
synthetic samples, which lie at arbitrary distances from decision boundaries.

The limit is where labelled samples not seen before show an expected loss of 0.3 points, or 0.3 more than rounding
explains. Without what rounding adds, that was at 22.9 dB for DS-CNN-L float32 and 23.8 for int8, 22.0 for DS-CNN-S,
20.6 for a DS-CNN int8 of MLPerf, 22.4 for ResNet8 float32 and 23.7 for int8, 23.1 for MobileNetV1 0.25 uint8, 23.8 for
MobileNetV2 float32: 22.8 in the mean, with a deviation of 1.1 dB. If the models of other families set the limit, the
expected loss of each is 0.23 to 0.37 points. Only ResNet8 int8 has 0.65, and rounding alone causes 0.27 of these. The
limits of other measures scatter more. The deviation is 1.9 dB with the variance in place of P. It is 4.6 dB for the
errors beside the variance on the samples that calibration sees. There one limit for all gives losses of 0.1 to 1.0.
"""

_SCORES_SYNTHETIC: Final = 18.0
"""dB that the errors of class scores stay below the variance of the scores over the synthetic samples. The limit for
probes has to hold as well. Where the samples are cepstra, labelled samples not seen before show an expected loss of
0.3 points at 16.9 dB for DS-CNN-S, 19.2 for DS-CNN-L float32 and 17.4 for int8, and 17.0 for a DS-CNN int8 of MLPerf;
at this limit it is 0.25 to 0.38 points. What is really lost scatters more: 0.74 +- 0.26 points for DS-CNN-L, 0.35 +-
0.24 for DS-CNN-S. ResNet8 float32, whose samples are pictures, loses 0.10 +- 0.18 points.
"""

_WEIGHT_SQNR_SYNTHETIC: Final = 14.0
"""dB that the weights keep in the mean under these two limits, because synthetic samples may be far from what the model
was made for. Chosen: on samples not seen before, DS-CNN-L float32 had an expected loss of 0.30 points where its weights
keep 17.5 dB, and of 0.73 points at 14.5 dB.
"""

_FLOAT_SQNR_CAREFUL: Final = 26.0
_RESCALED_SQNR_CAREFUL: Final = 28.0
_INTEGER_SQNR_CAREFUL: Final = 34.0
"""Where weights keep so many dB, synthetic samples are trusted like real ones. There is one limit each for floats, for
integers that get other scales, and for integers that keep their scales, many of which are exact. With these limits,
default runs without data lost 0.4 points in the mean over thirteen models of all kinds, at most 1.4 +- 1.0.
"""

_CLEAN_SQNR: Final = 30.0
_CLEAN_LOSS: Final = 0.05
"""dB of the outputs, or points of expected loss of class scores, from which on next to nothing changes. Chosen, not
measured: 30 dB is an error of 3 % of the signal's deviation, and 0.05 points are a sixth of what is usually risked.
"""


def criterion(
    config: Config, calibrated: CalibratedModel, score_drop: Callable[[], float] | None
) -> Callable[[Point], bool]:
    """What a candidate must keep: the user's gates, or else what it usually must.

    score_drop: what the candidate in the copy loses of the user's own score, in its units; None if there is none.
    """
    if config.has_gates:
        gates = config.gates
        return lambda point: gates.hold_for(point.quality, score_drop)
    return usual_criterion(calibrated)


def usual_criterion(calibrated: CalibratedModel) -> Callable[[Point], bool]:
    """What a candidate must keep by default: little expected loss and small errors."""
    if calibrated.synthetic:
        return synthetic_criterion(calibrated.floor, careful_sqnr(calibrated.jobs.values()))
    return real_criterion(calibrated.floor)


def real_criterion(floor: Quality) -> Callable[[Point], bool]:
    """What real samples must show; floor: the original under other kernels.

    Integer activations are rounded anew by any change at all. Variances add, and expected loss grows with variance, so
    that what the weights' errors do comes on top of the floor. The floor explains so much, and excuses no more.
    """
    return _keeps(loss_limit(floor), min(_SQNR, floor.held_out_sqnr))


def loss_limit(floor: Quality | None) -> float:
    """Points of accuracy that a candidate may be expected to lose by default. floor: None if it is not known."""
    rounding = 0.0 if floor is None else floor.expected_loss or 0.0
    return _LOSS + min(rounding, _MOST_ROUNDING)


def synthetic_criterion(floor: Quality, careful: float) -> Callable[[Point], bool]:
    """What a candidate must show without data, in one of two ways.

    Either its class scores have small errors on probes and on synthetic samples, with the errors of rounding on top. Or
    its weights are close to the original's, and expected loss or errors are small on synthetic samples.

    careful: dB of the weights from which on synthetic samples are believed as real ones are. All of the floor counts,
    because it is as unreliable there as the expected loss beside it: ResNet8 int8 lost 0.2
    points where 1.14 were expected on synthetic samples, 0.86 of them by the floor.
    """
    is_like_real = _keeps(_LOSS + (floor.expected_loss or 0.0), min(_SQNR_SYNTHETIC, floor.held_out_sqnr))
    on_probes = _beside_rounding(_SCORES_PROBES, floor.scores_sqnr)
    on_samples = max(_beside_rounding(_SCORES_SYNTHETIC, floor.held_out_sqnr), _LEAST_SQNR)

    def keeps_scores(point: Point) -> bool:
        quality = point.quality
        return (
            quality.expected_loss is not None
            and quality.scores_sqnr >= on_probes
            and quality.held_out_sqnr >= on_samples
            and point.weight_sqnr >= _WEIGHT_SQNR_SYNTHETIC
        )

    return lambda point: keeps_scores(point) or (point.weight_sqnr >= careful and is_like_real(point))


def _beside_rounding(limit: float, floor: float) -> float:
    """A limit in dB once the errors of rounding are added to it. floor: dB of the errors of rounding alone."""
    return -10 * math.log10(10 ** (-limit / 10) + 10 ** (-floor / 10))


def _keeps(loss: float, sqnr: float) -> Callable[[Point], bool]:
    """At most so many points of expected loss for class scores, at least so many dB for other outputs; and no loss on
    labelled samples for which the final check would refuse the candidate.
    """

    def is_good(point: Point) -> bool:
        quality = point.quality
        if quality.held_out_sqnr < _LEAST_SQNR or (quality.accuracy is not None and quality.accuracy.loses_unasked):
            return False
        return quality.held_out_sqnr_of_values >= sqnr and (
            quality.expected_loss is None or quality.expected_loss <= loss
        )

    return is_good


def is_clean(quality: Quality) -> bool:
    """Whether a candidate changes next to nothing: small errors on samples it was not fitted to, or class scores that
    hardly any accuracy is expected to be lost by.
    """
    hardly_loses = quality.expected_loss is not None and quality.expected_loss <= _CLEAN_LOSS
    return quality.held_out_sqnr_of_values >= _CLEAN_SQNR and (hardly_loses or quality.held_out_sqnr >= _CLEAN_SQNR)


def careful_sqnr(jobs: Collection[Job]) -> float:
    """dB of the weights from which on synthetic samples are believed: the mean, over all weights, of what each kind
    keeps with care.
    """
    return float(np.average([_careful(job) for job in jobs], weights=[job.matrix.codes.size for job in jobs]))


def _careful(job: Job) -> float:
    if job.matrix.is_float:
        return _FLOAT_SQNR_CAREFUL
    return _RESCALED_SQNR_CAREFUL if isinstance(job.encoding, RescaledCodes) else _INTEGER_SQNR_CAREFUL
