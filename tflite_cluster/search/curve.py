"""The rate-distortion curve of a model: candidates at multiples of its prices.

Layers can be clustered in the order in which they run, each making up for what those before it changed. GPTAQ
(2504.02692) corrects for the same drift:

1. Cluster all layers at once, each for the inputs that it has in the original.
2. Take the layers in order. Run the original and the copy, and gather the moments of the layer's new inputs and the
   cross moments with the old ones.
3. Replace the weights to assign by those that make the most of the new inputs, and cluster the layer anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import numpy as np

from ..clustering.rate import Priced
from ..model.layer import Layer
from .calibrated import CalibratedModel
from .job import Job
from .points import Point

_EXACT_SQNR: Final = 60.0
"""dB that a tensor counts for if its codebook makes no error."""


@dataclass(frozen=True)
class Curve:
    """Candidates of a calibrated model at multiples of its prices (by the number of each weight), and those evaluated
    so far.
    """

    calibrated: CalibratedModel
    prices: Mapping[int, float]
    points: list[Point] = field(default_factory=list)
    expected: int = 0
    """How many points a search reports as its total, however many it evaluates; 0 for one that reports nothing."""

    def evaluate(self, multiplier: float) -> Point:
        """Cluster the copy at that multiple, all layers at once, and judge it."""
        return self._judged(multiplier, self._all_at_once(multiplier), in_order=False)

    def evaluate_in_order(self, multiplier: float) -> Point:
        """Cluster the copy at that multiple, one layer after the other as they are run, and judge it.

        Each layer sees what those before it made of its inputs, and makes up for it.
        """
        calibrated, priced = self.calibrated, self._all_at_once(multiplier)
        samples = calibrated.pass_samples
        for layers in _in_order(calibrated.jobs):
            calibrated.copy.flush()
            drifts = calibrated.observer.drift(calibrated.copy.path, layers, samples)
            plain = [calibrated.jobs[number] for number in drifts]
            jobs = calibrated.clusterer.follow(plain, drifts.values(), samples, calibrated.shrinkage)
            prices = [self.prices[number] * multiplier for number in drifts]
            priced.update(zip(drifts, calibrated.clusterer.apply_all(jobs, prices), strict=True))
        return self._judged(multiplier, priced, in_order=True)

    def restore(self, multiplier: float) -> Point:
        """The point of that multiple, all layers at once, with the copy as it was there."""
        (*_, evaluated) = (point for point in self.points if point.multiplier == multiplier and not point.in_order)
        if evaluated is not self.points[-1]:
            self._all_at_once(multiplier)
        return evaluated

    def _all_at_once(self, multiplier: float) -> dict[int, Priced]:
        jobs = self.calibrated.jobs
        priced = self.calibrated.clusterer.apply_all(jobs.values(), [self.prices[n] * multiplier for n in jobs])
        return dict(zip(jobs, priced, strict=True))

    def _judged(self, multiplier: float, priced: Mapping[int, Priced], in_order: bool) -> Point:
        calibrated = self.calibrated
        sizes = [each.codes.size for each in priced.values()]
        sqnrs = [_sqnr(calibrated.jobs[number], each) for number, each in priced.items()]
        point = Point(
            multiplier=multiplier,
            in_order=in_order,
            bits=float(np.average([each.entropy for each in priced.values()], weights=sizes)),
            weight_sqnr=float(np.average(sqnrs, weights=sizes)),
            quality=calibrated.judge_all(),
            gains={number: each.gain for number, each in priced.items() if each.gain is not None},
        )
        self.points.append(point)
        if self.expected:
            calibrated.progress("Searching", min(len(self.points), self.expected - 1), self.expected)
        return point


def _in_order(jobs: Mapping[int, Job]) -> Iterator[dict[int, Layer]]:
    """Layers that errors can be fed back in, by the number of their weight, but the first, at which nothing drifts.

    Gates of a recurrent operator that read the same tensor see the same drift, and go together. Those that read the
    output of the step before also see the drift that their own first clustering causes. A second clustering is about as
    far off, so they are corrected for the drift of the first.
    """
    layers = {n: job.layer for n, job in jobs.items() if job.layer is not None and job.matrix.feedback is not None}

    def place(number: int) -> tuple[int, int, bool, int]:
        layer = layers[number]
        return layer.operator.subgraph, layer.operator.index, layer.kind == "steps", layer.input

    together = [list(numbers) for _, numbers in groupby(sorted(layers, key=place), key=place)]
    return ({number: layers[number] for number in numbers} for numbers in together[1:])


def _sqnr(job: Job, priced: Priced) -> float:
    return 10 * math.log10(job.matrix.power / priced.error) if priced.error > 0 else _EXACT_SQNR
