"""How far the outputs of two models are apart, gathered sample by sample in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..interpreter.interface import TensorSpec
from .verdict import OutputFidelity

_PROBABILITY_FLOOR = 1e-12
_SUM_TOLERANCE = 0.01
_NO_CLASS = -1
_LARGEST_SUM_TOLERANCE = 0.5

Reals = npt.NDArray[np.float64]


@dataclass
class OutputComparison:
    """One output of the original (`before`) against that of another model (`after`).

    Real outputs, quantised or not, are compared as real numbers; integers that stand for themselves (class numbers,
    counts) and booleans only by equality. `classes` has vectors taken for class scores even where they do not look
    like probabilities.
    """

    signature: str | None
    spec: TensorSpec
    classes: bool
    samples: int = 0
    _signal: float = 0.0
    _energy: float = 0.0
    _product: float = 0.0
    _error: float = 0.0
    _worst: float = 0.0
    _compared: int = 0
    _elements: int = 0
    _equal: int = 0
    _undefined: int = 0
    _corrupted: int = 0
    _reshaped: int = 0
    _scores: _ScoreComparison = field(init=False)

    def __post_init__(self) -> None:
        self._scores = _ScoreComparison(self.spec)

    @property
    def real(self) -> bool:
        """Whether the output holds real numbers."""
        return self.spec.quantised or np.issubdtype(self.spec.dtype, np.floating)

    def add(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> None:
        """Add one sample: the raw arrays that both models gave."""
        self.samples += 1
        if before.shape != after.shape:
            self._reshaped += 1
            return
        self._elements += before.size
        if not self.real:
            self._equal += _count(before == after)
            return
        reals_before, reals_after = self.spec.dequantise(before), self.spec.dequantise(after)
        self._scores.add(reals_before, reals_after)
        self._add_errors(reals_before, reals_after)

    def _add_errors(self, before: Reals, after: Reals) -> None:
        defined = np.isfinite(before)
        # The same infinity, or not-a-number on both sides, is what a faithful copy should give.
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        self._undefined += _count(~defined & same)
        usable = defined & np.isfinite(after)
        self._corrupted += _count(~usable & ~same)
        if not usable.all():
            before, after = before[usable], after[usable]
        difference = after - before
        self._compared += before.size
        self._signal += float(np.sum(before * before))
        self._energy += float(np.sum(after * after))
        self._product += float(np.sum(before * after))
        self._error += float(np.sum(difference * difference))
        self._worst = max(self._worst, float(np.max(np.abs(difference), initial=0.0)))

    def result(self) -> OutputFidelity:
        """Sum up the samples so far."""
        if not self.real:
            return self._result_by_equality()
        spoilt = self._corrupted > 0
        measurable = self._compared > 0 or spoilt
        scores = self._scores if self._scores.apply(self.classes) else None
        return OutputFidelity(
            signature=self.signature,
            name=self.spec.name,
            samples=self.samples,
            real=True,
            sqnr_db=(-math.inf if spoilt else self._sqnr()) if measurable and not self._reshaped else None,
            cosine=self._cosine() if self._compared and not spoilt else None,
            max_abs_error=(math.inf if spoilt else self._worst) if measurable else None,
            rmse=(math.inf if spoilt else math.sqrt(self._error / self._compared)) if measurable else None,
            kl_divergence=scores.mean_divergence() if scores else None,
            agreement=scores.agreement() if scores else None,
            classified=scores.defined if scores else None,
            note=self._note(),
        )

    @property
    def classes_scored(self) -> int:
        """How many classes it gives scores for; 0 if it is no vector of scores."""
        return 0 if not self.real or self._reshaped or not self._scores.apply(True) else self._scores.count_of_classes

    def accuracy(self, labels: npt.NDArray[np.int64]) -> tuple[float, float] | None:
        """Give the share (0 to 1) of samples that each model labels rightly; None if this output has no such scores."""
        scores = self._scores
        if np.min(labels) < 0 or np.max(labels) >= self.classes_scored:
            return None
        return _hit_rate(scores.top_before, labels), _hit_rate(scores.top_after, labels)

    def _result_by_equality(self) -> OutputFidelity:
        comparable = self._elements > 0 and not self._reshaped
        return OutputFidelity(
            signature=self.signature,
            name=self.spec.name,
            samples=self.samples,
            real=False,
            agreement=self._equal / self._elements if comparable else None,
            note=self._note() or "whole numbers: compared by equality",
        )

    def _sqnr(self) -> float:
        if self._error == 0:
            return math.inf
        return 10 * math.log10(self._signal / self._error) if self._signal > 0 else -math.inf

    def _cosine(self) -> float:
        if self._error == 0:
            return 1.0
        norms = math.sqrt(self._signal) * math.sqrt(self._energy)
        return max(-1.0, min(1.0, self._product / norms)) if norms > 0 else 0.0

    def _note(self) -> str | None:
        notes: list[str] = []
        if self._reshaped:
            notes.append(f"its shape differs in {self._reshaped} of {self.samples} samples")
        if self._corrupted:
            notes.append(
                f"{self._corrupted} of {self._elements} values were finite and are not any more, or the reverse"
            )
        if self._undefined:
            notes.append(
                f"{self._undefined} of {self._elements} values are NaN or infinite in the original too: left out"
            )
        return "; ".join(notes) or None


@dataclass
class _ScoreComparison:
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

    def _like_probabilities(self, p: Reals) -> bool:
        # A quantised probability is off by up to half a step, and most of many classes are rounded to 0.
        tolerance = min(_SUM_TOLERANCE + self.spec.scale * p.size / 2, _LARGEST_SUM_TOLERANCE)
        return bool(np.min(p) >= -1e-6 and abs(float(np.sum(p)) - 1) <= tolerance)


def _hit_rate(classes: list[int], labels: npt.NDArray[np.int64]) -> float:
    return _count(np.array(classes) == labels) / len(labels)


def _top(scores: Reals) -> int:
    return int(np.argmax(scores)) if np.isfinite(scores).all() else _NO_CLASS


def _count(places: npt.NDArray[np.bool_]) -> int:
    return int(np.sum(places))


def _normalised(p: Reals, floor: float) -> Reals:
    p = np.maximum(p, floor)
    return p / np.sum(p)


def _softmax(scores: Reals) -> Reals:
    p = np.exp(scores - np.max(scores))
    return _normalised(p / np.sum(p), _PROBABILITY_FLOOR)


def _divergence(p: Reals, q: Reals) -> float:
    return max(0.0, float(np.sum(p * np.log(p / q))))
