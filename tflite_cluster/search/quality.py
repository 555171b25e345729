"""How far a candidate's outputs are from the original's, in measures smooth enough to steer by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_RIVALS: Final = 5


@dataclass(frozen=True)
class Quality:
    """Means over samples and outputs.

    distortion: KL divergence in nats for class scores, else the squared error relative to the output's variance.
    risk: points of top-1 accuracy that the error is expected to cost, None without class scores.
    agreement: share of samples with the same top class, likewise. sqnr: dB of the worst output, as the final check has
    it. drop: points of top-1 accuracy really lost, where labels are known. contrast: dB of the worst output's variance
    to its error on samples that the candidate was not fitted to; what is common to all samples does not raise it, nor
    what is common to all class scores, which changes no class.
    """

    distortion: float
    risk: float | None
    agreement: float | None
    sqnr: float
    drop: float | None = None
    contrast: float = math.inf


def compare_outputs(
    original: Sequence[Array],
    candidate: Sequence[Array],
    is_logits: Sequence[bool],
    labels: Sequence[npt.NDArray[np.int64] | None],
    unseen: Sequence[npt.NDArray[np.bool_]],
) -> Quality:
    """Compare outputs, each (samples, elements) in real values; logits are those that go into a softmax.

    labels: the right class of each sample, (samples,), for each output where known. unseen: for each output which
    samples the candidate was not fitted to, (samples,); the size of the errors that risk is about comes from them.
    """
    distortions: list[float] = []
    risks: list[float] = []
    agreements: list[float] = []
    sqnrs: list[float] = []
    contrasts: list[float] = []
    drops: list[float] = []
    for before, after, logits, truth, fresh in zip(original, candidate, is_logits, labels, unseen, strict=True):
        if not np.isfinite(after).all():
            return Quality(
                math.inf,
                math.inf if any(is_logits) else None,
                0.0 if any(is_logits) else None,
                -math.inf,
                contrast=-math.inf,
            )
        scores = logits and before.shape[1] > 1
        contrasts.append(_decibels(_relative_error(*(_centred(values[fresh], scores) for values in (before, after)))))
        going_out = (np.exp(_log_softmax(values)) for values in (before, after)) if logits else (before, after)
        sqnrs.append(_sqnr(*going_out))
        if scores:
            distortions.append(_divergence(before, after))
            risks.append(_expected_loss(before, after, fresh))
            agreements.append(float(np.mean(before.argmax(1) == after.argmax(1))))
            if truth is not None:
                hits = [float(np.mean(values.argmax(1) == truth)) for values in (before, after)]
                drops.append(100 * (hits[0] - hits[1]))
        else:
            distortions.append(_relative_error(before, after))
    return Quality(
        distortion=float(np.mean(distortions)),
        risk=max(risks) if risks else None,
        agreement=min(agreements) if agreements else None,
        sqnr=min(sqnrs),
        drop=max(drops) if drops else None,
        contrast=min(contrasts),
    )


def _centred(values: Array, scores: bool) -> Array:
    """Class scores without what all classes have in common; other values as they are."""
    return values - values.mean(1, keepdims=True) if scores else values


def variance(values: Array) -> float:
    """Of an output (samples, elements) over the samples, above zero: its power, or 1, where all samples are alike."""
    if not values.size:
        return 1.0
    return float(np.mean((values - values.mean(0)) ** 2)) or float(np.mean(values**2)) or 1.0


def _relative_error(before: Array, after: Array) -> float:
    return float(np.mean((after - before) ** 2)) / variance(before) if before.size else 0.0


def _sqnr(before: Array, after: Array) -> float:
    """dB of all that goes out to its error."""
    signal, error = float(np.sum(before**2)), float(np.sum((after - before) ** 2))
    if error == 0:
        return math.inf
    return _decibels(error / signal) if signal > 0 else -math.inf


def _decibels(relative_error: float) -> float:
    return -10 * math.log10(relative_error) if relative_error > 0 else math.inf


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _divergence(before: Array, after: Array) -> float:
    p, q = _log_softmax(before), _log_softmax(after)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def _expected_loss(before: Array, after: Array, unseen: npt.NDArray[np.bool_]) -> float:
    """Points of accuracy lost if the original's scores are true and errors of this size fall at random.

    The chance that the runner-up overtakes the winner, times what that would cost. Counting the few samples whose
    class really changed says the same with far more scatter. How large errors are is seen on the samples that
    calibration has not seen, on which they are larger; how close classes are to each other on all.
    """
    nearest = np.argsort(-before, axis=1, kind="stable")[:, : _RIVALS + 1]
    leads = -np.diff(np.take_along_axis(before, nearest, 1), axis=1)
    change = np.take_along_axis(after - before, nearest, 1)
    spread = math.sqrt(float(np.mean((change[unseen, :1] - change[unseen, 1:]) ** 2)))
    if spread == 0:
        return 0.0
    probability = np.exp(np.take_along_axis(_log_softmax(before), nearest[:, :2], 1))
    overtaken = np.array([0.5 * math.erfc(lead / spread / math.sqrt(2)) for lead in leads[:, 0]])
    return 100 * float(np.mean(overtaken * (probability[:, 0] - probability[:, 1])))
