"""Class scores of two models: their top classes, and how far apart they are as probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..interpreter.interface import TensorSpec
from .sums import Reals

_PROBABILITY_FLOOR = 1e-12
_SUM_TOLERANCE = 0.01
_LARGEST_SUM_TOLERANCE = 0.5
_NO_CLASS = -1


@dataclass
class ScoreComparison:
    """Top-1 classes and KL divergence of an output that is one vector of scores per sample."""

    spec: TensorSpec
    top_before: list[int] = field(default_factory=list[int])
    top_after: list[int] = field(default_factory=list[int])
    count_of_classes: int = 0
    _vectors: bool = True
    _probabilities: bool = True
    _divergence_of_probabilities: float = 0.0
    _divergence_of_logits: float = 0.0

    def add(self, before: Reals, after: Reals) -> None:
        """Add one sample."""
        if not self._vectors or before.ndim == 0 or before.shape[-1] != before.size or before.size < 2:
            self._vectors = False
            return
        p, q = before.ravel(), after.ravel()
        self.count_of_classes = max(self.count_of_classes, p.size)
        self.top_before.append(_top(p))
        self.top_after.append(_top(q))
        if self.top_before[-1] == _NO_CLASS:
            return
        self._probabilities = self._probabilities and self._like_probabilities(p)
        if self.top_after[-1] == _NO_CLASS:
            self._divergence_of_logits = self._divergence_of_probabilities = math.inf
            return
        self._divergence_of_logits += _divergence(_softmax(p), _softmax(q))
        if self._probabilities:
            floor = max(_PROBABILITY_FLOOR, self.spec.scale / 2)
            self._divergence_of_probabilities += _divergence(_normalised(p, floor), _normalised(q, floor))

    def apply(self, classes: bool) -> bool:
        """Whether the output can be taken for class scores: it is asked for, or they look like probabilities."""
        return self._vectors and self.defined > 0 and (classes or self._probabilities)

    def mean_divergence(self) -> float:
        """KL divergence of the second from the first, in nats, averaged over the samples."""
        total = self._divergence_of_probabilities if self._probabilities else self._divergence_of_logits
        return total / self.defined

    def agreement(self) -> float:
        """Share of samples whose top class is the same."""
        pairs = zip(self.top_before, self.top_after, strict=True)
        return sum(one == other != _NO_CLASS for one, other in pairs) / self.defined

    @property
    def defined(self) -> int:
        """Samples for which the original names a class at all."""
        return len(self.top_before) - self.top_before.count(_NO_CLASS)

    @property
    def off_commonest(self) -> int:
        """Samples whose class in the original is not its commonest one: without any, agreement says nothing."""
        named = np.array([top for top in self.top_before if top != _NO_CLASS], np.int64)
        return len(named) - int(np.bincount(named, minlength=1).max())

    def _like_probabilities(self, p: Reals) -> bool:
        # A quantised probability is off by up to half a step, and most of many classes are rounded to 0.
        tolerance = min(_SUM_TOLERANCE + self.spec.scale * p.size / 2, _LARGEST_SUM_TOLERANCE)
        return bool(np.min(p) >= -1e-6 and abs(float(np.sum(p)) - 1) <= tolerance)


def _top(scores: Reals) -> int:
    return int(np.argmax(scores)) if np.isfinite(scores).all() else _NO_CLASS


def _normalised(p: Reals, floor: float) -> Reals:
    p = np.maximum(p, floor)
    return p / np.sum(p)


def _softmax(scores: Reals) -> Reals:
    p = np.exp(scores - np.max(scores))
    return _normalised(p / np.sum(p), _PROBABILITY_FLOOR)


def _divergence(p: Reals, q: Reals) -> float:
    return max(0.0, float(np.sum(p * np.log(p / q))))
