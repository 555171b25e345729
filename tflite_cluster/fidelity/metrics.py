"""How far the outputs of two models are apart, gathered sample by sample in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..interpreter.interface import TensorSpec
from .accuracy import Accuracy
from .scores import ScoreComparison
from .slices import find_slices
from .sums import CentredSums, Difference, Reals
from .verdict import OutputFidelity


@dataclass
class OutputComparison:
    """One output of the original (`before`) against that of another model (`after`).

    Real outputs, quantised or not, are compared as real numbers; integers that stand for themselves (class numbers,
    counts) and booleans only by equality. `classes` has vectors taken for class scores even where they do not look
    like probabilities. `chosen`: the output depends on a choice, such as that of the best boxes. `complete`: the
    samples are all that there can be, as for a model without inputs, so that nothing has to vary.
    """

    signature: str | None
    spec: TensorSpec
    classes: bool
    chosen: bool = False
    complete: bool = False
    samples: int = 0
    _shape: tuple[int, ...] | None = None
    _sums: CentredSums = field(default_factory=lambda: CentredSums(1))
    _power: float = 0.0
    _error: float = 0.0
    _worst: float = 0.0
    _compared: int = 0
    _elements: int = 0
    _equal: int = 0
    _undefined: int = 0
    _corrupted: int = 0
    _reshaped: int = 0
    _low: float = math.inf
    _high: float = -math.inf
    _first: npt.NDArray[Any] | None = None
    _varies: bool = False
    _scores: ScoreComparison = field(init=False)

    def __post_init__(self) -> None:
        self._scores = ScoreComparison(self.spec)

    @property
    def real(self) -> bool:
        """Whether the output holds real numbers."""
        return self.spec.quantised or np.issubdtype(self.spec.dtype, np.floating)

    def add(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> None:
        """Add one sample: the raw arrays that both models gave."""
        self.samples += 1
        if self._first is None:
            self._first = before
        self._varies = self._varies or not np.array_equal(self._first, before, equal_nan=self.real)
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
        sums = self._sums_for(before.shape)
        rows = before.size // sums.elements if sums.elements else 1, sums.elements
        sums.add(before.reshape(rows), after.reshape(rows), usable.reshape(rows))
        if not usable.all():
            before, after = before[usable], after[usable]
        difference = after - before
        self._compared += before.size
        self._power += float(np.sum(before * before))
        self._error += float(np.sum(difference * difference))
        self._worst = max(self._worst, float(np.max(np.abs(difference), initial=0.0)))
        self._low = min(self._low, float(np.min(before, initial=math.inf)))
        self._high = max(self._high, float(np.max(before, initial=-math.inf)))

    def _sums_for(self, shape: tuple[int, ...]) -> CentredSums:
        """Sums for each element; for each index of the last axis, or all together, where shapes differ."""
        if self._shape is None:
            self._sums = CentredSums(math.prod(shape))
        elif shape != self._shape:
            last = shape[-1] if shape and self._shape[-1:] == shape[-1:] else 1
            if self._sums.elements not in (last, 1):
                self._sums = self._sums.pooled(last or 1)
            shape = (last or 1,)
        self._shape = shape
        return self._sums

    def result(self) -> OutputFidelity:
        """Sum up the samples so far."""
        if not self.real:
            return self._result_by_equality()
        spoilt = self._corrupted > 0
        scores = self._scores if self._scores.apply(self.classes) else None
        worst = self._worst_slice(scores is not None) if self._compared else None
        found = OutputFidelity(
            signature=self.signature,
            name=self.spec.name,
            samples=self.samples,
            real=True,
            varies=(self._varies or self.complete) and worst is not None,
            chosen=self.chosen,
            raw_sqnr_db=_decibels(self._power, self._error) if self._compared and not self._reshaped else None,
            max_abs_error=self._worst if self._compared else None,
            rmse=math.sqrt(self._error / self._compared) if self._compared else None,
            kl_divergence=scores.mean_divergence() if scores else None,
            agreement=scores.agreement() if scores else None,
            classified=scores.defined if scores else None,
            class_changes=scores.off_commonest if scores else None,
            note=self._note(),
        )
        if spoilt:
            ratio = None if self._reshaped else -math.inf
            return replace(found, varies=True, sqnr_db=ratio, raw_sqnr_db=ratio, max_abs_error=math.inf, rmse=math.inf)
        if worst is None or self._reshaped:
            return found
        place, difference = worst
        return replace(found, sqnr_db=difference.sqnr_db, cosine=difference.cosine, slice=place or None)

    def _worst_slice(self, is_scores: bool) -> tuple[str, Difference] | None:
        """The part whose error is largest beside its own signal, with its name; None where none varies enough."""
        if self.complete:
            return "", Difference(self._power, self._power, self._power, self._error)
        assert self._shape is not None
        is_vector = sum(size > 1 for size in self._shape) == 1
        is_one_unit = is_scores or (is_vector and self._low >= 0 and self._high <= 1)
        slices = find_slices(self._sums.deviation, self._shape, is_one_unit)
        parts = ((slices.name(part), slices.of_elements == part) for part in range(slices.count))
        judged = [(name, self._sums.difference(part)) for name, part in parts if self._sums.is_spread(part)]
        return min(judged, key=lambda pair: pair[1].sqnr_db, default=None)

    @property
    def classes_scored(self) -> int:
        """How many classes it gives scores for; 0 if it is no vector of scores."""
        return 0 if not self.real or self._reshaped or not self._scores.apply(True) else self._scores.count_of_classes

    def accuracy(self, labels: npt.NDArray[np.int64]) -> Accuracy | None:
        """Top-1 accuracy of both models; None if this output has no scores for these labels."""
        if np.min(labels) < 0 or np.max(labels) >= self.classes_scored:
            return None
        before, after = np.array(self._scores.top_before), np.array(self._scores.top_after)
        return Accuracy.of(self.spec.name, before, after, labels, self.classes_scored)

    def _result_by_equality(self) -> OutputFidelity:
        comparable = self._elements > 0 and not self._reshaped
        return OutputFidelity(
            signature=self.signature,
            name=self.spec.name,
            samples=self.samples,
            real=False,
            varies=self._varies or self.complete,
            chosen=self.chosen,
            agreement=self._equal / self._elements if comparable else None,
            note=self._note() or "whole numbers: compared by equality",
        )

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


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal > 0 else -math.inf


def _count(places: npt.NDArray[np.bool_]) -> int:
    return int(np.sum(places))
