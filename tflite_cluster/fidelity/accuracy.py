"""Top-1 accuracy of two models on the same labelled samples, and how sure one can be of its change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from .gates import MOST_POINTS

Classes = npt.NDArray[np.int64]

_CHANCE_LEVEL: Final = 0.05
"""Probability that guessing does as well, above which an accuracy is taken for that of guessing."""

_CLEARLY_BETTER: Final = 0.2
_CLEARLY_LEVEL: Final = 1e-3
"""How many more of the samples must be right under shifted labels, and how improbable that must be by guessing, before
labels are named as the likely cause."""


@dataclass(frozen=True)
class Accuracy:
    """Counts of labelled samples: classified rightly by the original and by the other model, and what changed.

    lost, gained: samples that only the original, or only the other model, classifies rightly. chance: share (0 to 1)
    that would be right if classes and labels had nothing to do with each other. doubt: why the labels or the samples
    cannot be right, if the original does no better than that; None if it does.
    """

    output: str
    samples: int
    right_before: int
    right_after: int
    lost: int
    gained: int
    chance: float = 0.0
    doubt: str | None = None

    @classmethod
    def of(cls, output: str, before: Classes, after: Classes, labels: Classes, classes: int) -> Accuracy:
        """Count the hits of both models' classes, each (samples,)."""
        hit, still = before == labels, after == labels
        chance = chance_level(before, labels, classes)
        return cls(
            output=output,
            samples=len(labels),
            right_before=int(hit.sum()),
            right_after=int(still.sum()),
            lost=int((hit & ~still).sum()),
            gained=int((still & ~hit).sum()),
            chance=chance,
            doubt=_doubt(before, labels, chance),
        )

    @property
    def before(self) -> float:
        """Share (0 to 1) that the original classifies rightly."""
        return self.right_before / self.samples

    @property
    def after(self) -> float:
        """Share (0 to 1) that the other model classifies rightly."""
        return self.right_after / self.samples

    @property
    def drop_points(self) -> float:
        """Percentage points lost; below zero if the other model does better."""
        return 100 * (self.lost - self.gained) / self.samples

    @property
    def change_points(self) -> float:
        """Percentage points gained; below zero if the other model does worse."""
        return 100 * (self.gained - self.lost) / self.samples  # not -drop_points, which may be -0.0

    @property
    def standard_error_points(self) -> float:
        """Standard error of the change in percentage points, from the samples that changed (paired)."""
        return paired_error_points(self.lost, self.gained, self.samples)

    @property
    def change_in_words(self) -> str:
        """The change with its standard error; a minus is a loss, and one that rounds to nothing has no sign."""
        points, is_seen = self.change_points, abs(self.change_points) >= 0.005
        if not (self.lost or self.gained) or self.samples < 2:
            words = f"{points:+.2f} points" if is_seen else "no change"
            return words + (", within chance" if self.lost or self.gained else "")
        error = f"{self.standard_error_points:.2f}"
        words = f"{points:+.2f} ± {error} points" if is_seen else f"no change ± {error}"
        return words + (", within chance" if self.is_within_chance else "")

    @property
    def doubt_in_words(self) -> str:
        """Why the accuracy of the original says nothing, if there is a doubt."""
        return (
            f"the original classifies {self.right_before} of {self.samples} samples rightly, as guessing would "
            f"({100 * self.chance:.1f} %): {self.doubt}"
        )

    @property
    def is_within_chance(self) -> bool:
        """Whether the change is no larger than two standard errors."""
        return abs(self.drop_points) <= 2 * self.standard_error_points + 1e-9

    @property
    def loses_unasked(self) -> bool:
        """Whether it loses more than a user who sets no limit would accept: MOST_POINTS, and more than chance."""
        return self.doubt is None and self.drop_points > MOST_POINTS and not self.is_within_chance

    def drop_bound(self, confidence: float) -> float:
        """The most points that may have been lost, at a one-sided confidence in percent."""
        return drop_bound_points(self.lost, self.gained, self.samples, confidence)


def paired_error_points(lost: int, gained: int, samples: int) -> float:
    """Standard error in percentage points of (lost - gained) / samples."""
    if samples < 2:
        return math.inf
    mean = (lost - gained) / samples
    return 100 * math.sqrt(max((lost + gained) / samples - mean**2, 0.0) / (samples - 1))


def drop_bound_points(lost: int, gained: int, samples: int, confidence: float) -> float:
    """One-sided upper bound of the points lost, by the adjusted Wald interval for paired shares.

    Half a sample is added to each count of changes, so that no change at all on few samples proves little (Agresti and
    Min, Simple improved confidence intervals for comparing matched proportions, 2005). confidence: in percent.
    """
    count = samples + 2
    lost_share, gained_share = (lost + 0.5) / count, (gained + 0.5) / count
    change = lost_share - gained_share
    error = math.sqrt(max(lost_share + gained_share - change**2, 0.0) / count)
    return 100 * (change + NormalDist().inv_cdf(confidence / 100) * error)


def chance_level(classes: Classes, labels: Classes, count: int) -> float:
    """Share of hits if a model's classes came in the same shares, but whatever the label; (samples,) each.

    Where all labels are the same, that says nothing: then it is one in `count`, the number of classes.
    """
    if len(np.unique(labels)) < 2:
        return 1 / max(count, 1)
    known = [(np.mean(classes == label), np.mean(labels == label)) for label in np.unique(labels)]
    return float(sum(one * other for one, other in known))


def _doubt(classes: Classes, labels: Classes, chance: float) -> str | None:
    hits = int(np.sum(classes == labels))
    chance = max(chance, 1e-6)
    if _tail(hits, len(labels), chance) <= _CHANCE_LEVEL:
        return None
    for shift, remedy in ((1, "add 1 to each label"), (-1, "subtract 1 from each label")):
        shifted = int(np.sum(classes == labels + shift))
        if shifted - hits >= _CLEARLY_BETTER * len(labels) and _tail(shifted, len(labels), chance) < _CLEARLY_LEVEL:
            return f"{shifted} would be right if labels were counted from another number: {remedy}"
    if len(np.unique(classes)) == 1:
        return "it gives one class for all samples: they are most likely not preprocessed as the model takes them"
    if len(labels) < 5:
        return "with so few labelled samples, a good model looks like one that guesses: give more"
    return (
        "the samples are most likely not preprocessed as the model takes them (--normalize, --mean and --std), or the "
        "labels belong to other classes"
    )


def _tail(hits: int, samples: int, share: float) -> float:
    """Probability of at least so many hits by guessing."""
    if hits == 0 or share >= 1:
        return 1.0
    logs = [
        math.lgamma(samples + 1) - math.lgamma(k + 1) - math.lgamma(samples - k + 1)
        + k * math.log(share) + (samples - k) * math.log1p(-share)
        for k in range(hits, samples + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))
