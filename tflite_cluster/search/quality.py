"""How far a candidate's outputs are from the original's, in measures smooth enough to steer by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..fidelity.accuracy import Accuracy

Array = npt.NDArray[np.float64]

_RIVALS: Final = 5

_MOST_IN_COMMON: Final = 4.0
"""The power of class scores counts as at most this many times their variance. A class that is never named may lie at
any distance from the others.
"""


@dataclass(frozen=True)
class Quality:
    """How close a candidate is to the original, as means over samples and outputs."""

    distortion: float
    """KL divergence in nats for class scores, else squared error relative to the variance, the mean over the slices."""
    expected_loss: float | None
    """Points of top-1 accuracy that the error is expected to cost; None without class scores."""
    agreement: float | None
    """Share of samples with the same top class; None without class scores."""
    sqnr: float
    """dB about the mean in the worst slice of the worst output, as the final check measures it."""
    accuracy: Accuracy | None = None
    """Hits and misses; None where labels are not known."""
    held_out_sqnr: float = math.inf
    """dB of the worst slice on samples that the candidate was not fitted to. Whatever is common to all samples does not
    raise it, nor does what is common to all class scores, because that changes no class."""
    held_out_sqnr_of_values: float = math.inf
    """The same over the outputs that are not class scores; infinite if all are."""
    scores_sqnr: float = math.inf
    """dB of the class scores' power to their errors on samples that the candidate was not fitted to, both without what
    all classes share; infinite without class scores. The power includes the mean of the scores over the samples, which
    the variance leaves out. Trained class scores are log-probabilities, and their size tells how large an error they
    bear.
    """

    @property
    def drop(self) -> float | None:
        """Points of top-1 accuracy really lost, where labels are known."""
        return None if self.accuracy is None else self.accuracy.drop_points


@dataclass(frozen=True)
class Outputs:
    """One output of both models in real values, (samples, elements) each."""

    before: Array
    after: Array
    is_logits: bool
    """Whether a softmax makes an output of them."""
    labels: npt.NDArray[np.int64] | None
    """The right class of each sample, (samples,), where known."""
    held_out: npt.NDArray[np.bool_]
    """Which samples the candidate was not fitted to, (samples,). Expected loss takes the size of errors from them."""
    slices: npt.NDArray[np.intp]
    """The slice of each element, (elements,), from 0 on."""

    @property
    def is_scores(self) -> bool:
        """Whether they are scores of several classes."""
        return self.is_logits and self.before.shape[1] > 1

    def parts(self, before: Array, after: Array) -> Iterator[tuple[Array, Array]]:
        """The columns of each slice."""
        for part in range(int(self.slices.max(initial=0)) + 1):
            members = self.slices == part
            yield before[:, members], after[:, members]


def compare_outputs(outputs: Sequence[Outputs]) -> Quality:
    """Compare all outputs of two models."""
    if not all(np.isfinite(each.after).all() for each in outputs):
        has_scores = any(each.is_logits for each in outputs)
        return Quality(
            math.inf,
            math.inf if has_scores else None,
            0.0 if has_scores else None,
            -math.inf,
            held_out_sqnr=-math.inf,
            held_out_sqnr_of_values=-math.inf,
            scores_sqnr=-math.inf if has_scores else math.inf,
        )
    scores = [each for each in outputs if each.is_scores]
    risks = [_expected_loss(each.before, each.after, each.held_out) for each in scores]
    agreements = [float(np.mean(each.before.argmax(1) == each.after.argmax(1))) for each in scores]
    hits = [_accuracy(each) for each in scores if each.labels is not None]
    held_out = [_held_out_sqnr(each) for each in outputs]
    return Quality(
        distortion=float(np.mean([_distortion(each) for each in outputs])),
        expected_loss=max(risks, default=None),
        agreement=min(agreements, default=None),
        sqnr=min(map(_sqnr, outputs)),
        accuracy=max(hits, key=lambda each: each.drop_points, default=None),
        held_out_sqnr=min(held_out),
        held_out_sqnr_of_values=min(
            (found for each, found in zip(outputs, held_out, strict=True) if not each.is_scores), default=math.inf
        ),
        scores_sqnr=min(map(_scores_sqnr, scores), default=math.inf),
    )


def _accuracy(outputs: Outputs) -> Accuracy:
    assert outputs.labels is not None
    tops = outputs.before.argmax(1), outputs.after.argmax(1)
    return Accuracy.of("", *tops, outputs.labels, outputs.before.shape[1])


def _distortion(outputs: Outputs) -> float:
    if outputs.is_scores:
        return _divergence(outputs.before, outputs.after)
    return float(np.mean([_relative_error(*part) for part in outputs.parts(outputs.before, outputs.after)]))


def _held_out_sqnr(outputs: Outputs) -> float:
    before, after = outputs.before[outputs.held_out], outputs.after[outputs.held_out]
    if outputs.is_scores:
        before, after = centred(before), centred(after)
    return min(_decibels(_relative_error(*part)) for part in outputs.parts(before, after))


def _scores_sqnr(outputs: Outputs) -> float:
    """dB of the scores' power, as far as it counts, to their errors."""
    before, after = centred(outputs.before[outputs.held_out]), centred(outputs.after[outputs.held_out])
    if not before.size:
        return math.inf
    spread = variance(before)
    power = min(max(float(np.mean(before**2)), spread), _MOST_IN_COMMON * spread)
    return _decibels(float(np.mean((after - before) ** 2)) / power)


def _sqnr(outputs: Outputs) -> float:
    """dB about the mean of what goes out, in the worst slice."""
    before, after = outputs.before, outputs.after
    if outputs.is_logits:
        before, after = np.exp(_log_softmax(before)), np.exp(_log_softmax(after))
    return min(_decibels(_relative_error(*part)) for part in outputs.parts(before, after))


def centred(scores: Array) -> Array:
    """Class scores (samples, classes) without what all classes have in common."""
    return np.asarray(scores - scores.mean(1, keepdims=True))


def variance(values: Array) -> float:
    """Of an output (samples, elements) over the samples, above zero: its power, or 1, where all samples are alike."""
    if not values.size:
        return 1.0
    return float(np.mean((values - values.mean(0)) ** 2)) or float(np.mean(values**2)) or 1.0


def slice_variances(values: Array, slices: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The variance of each slice of an output (samples, elements), by its number."""
    return np.array([variance(values[:, slices == part]) for part in range(int(slices.max(initial=0)) + 1)])


def _relative_error(before: Array, after: Array) -> float:
    return float(np.mean((after - before) ** 2)) / variance(before) if before.size else 0.0


def _decibels(relative_error: float) -> float:
    return -10 * math.log10(relative_error) if relative_error > 0 else math.inf


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _divergence(before: Array, after: Array) -> float:
    p, q = _log_softmax(before), _log_softmax(after)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def _expected_loss(before: Array, after: Array, held_out: npt.NDArray[np.bool_]) -> float:
    """Points of accuracy lost if the original's scores are true and errors of this size fall at random.

    The chance that the runner-up overtakes the winner, times what that would cost. Counting the few samples whose
    class really changed says the same with far more scatter. How large errors are is seen on the samples that
    calibration has not seen, on which they are larger; how close classes are to each other on all.
    """
    nearest = np.argsort(-before, axis=1, kind="stable")[:, : _RIVALS + 1]
    leads = -np.diff(np.take_along_axis(before, nearest, 1), axis=1)
    change = np.take_along_axis(after - before, nearest, 1)
    spread = math.sqrt(float(np.mean((change[held_out, :1] - change[held_out, 1:]) ** 2)))
    if spread == 0:
        return 0.0
    probability = np.exp(np.take_along_axis(_log_softmax(before), nearest[:, :2], 1))
    overtaken = np.array([0.5 * math.erfc(lead / spread / math.sqrt(2)) for lead in leads[:, 0]])
    return 100 * float(np.mean(overtaken * (probability[:, 0] - probability[:, 1])))
