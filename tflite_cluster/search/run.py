"""From a model and its samples to the smallest candidate that is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..calibration.gather import gather_moments
from ..calibration.samples import Samples
from ..clustering.rate import Priced
from ..interpreter.process import InterpreterProcess
from ..model.layers import find_layer
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.select import Weight
from .allocation import base_prices, price_at_sqnr, sensitivities
from .clusterer import REAL, SYNTHETIC, Clusterer, Job, make_job
from .judge import Chosen, Judge
from .points import Point, Search, furthest
from .quality import Quality

Progress = Callable[[str, int, int], None]

_MOST_SAMPLES: Final = 300
_KEPT_ASIDE: Final = 0.2
_LEAST_KEPT_ASIDE: Final = 40
_FOR_SENSITIVITIES: Final = 12
_EXACT_SQNR: Final = 60.0
"""dB that a tensor counts for if its codebook makes no error."""

_FIRST: Final = 0.5
"""Multiplier at which a search begins."""
_BLIND_SQNR: Final = 30.0
"""dB that each tensor keeps where the model cannot be run."""


@dataclass(frozen=True)
class Split:
    """Samples by signature: those that calibration sees, a few that sensitivities are measured on, and all."""

    calibration: Chosen
    few: Chosen
    everything: Chosen


@dataclass(frozen=True)
class Bench:
    """A model ready to be clustered at any price; jobs by the number of their weight."""

    clusterer: Clusterer
    judge: Judge
    copy: PatchedCopy
    jobs: dict[int, Job]
    split: Split
    floor: Quality
    synthetic: bool
    progress: Progress

    def search(self, is_good: Callable[[Point], bool]) -> Search:
        """Find the cheapest candidate that is good and leave it in the copy; if none is, the last one tried."""
        return self._search(lambda curve: furthest(lambda at: is_good(curve.visit(at)), _FIRST))

    def search_size(self, fits: Callable[[], bool]) -> Search:
        """Find the candidate of best fidelity of which `fits` says that it is small enough, likewise."""

        def cheapest(curve: _Curve) -> float | None:
            def is_good(inverse: float) -> bool:
                curve.visit(1 / inverse)
                return fits()

            inverse = furthest(is_good, 1 / _FIRST)
            return None if inverse is None else 1 / inverse

        return self._search(cheapest)

    def _search(self, choose: Callable[[_Curve], float | None]) -> Search:
        jobs = list(self.jobs.values())
        found = sensitivities(self.clusterer, jobs, self._judge_few, self._tell("Measuring sensitivities"))
        curve = _Curve(self, base_prices(jobs, found), [])
        multiplier = choose(curve)
        chosen = curve.come_back(multiplier) if multiplier is not None else None
        prices = curve.prices * curve.points[-1].multiplier
        return Search(
            points=tuple(curve.points),
            chosen=chosen,
            floor=self.floor,
            observed=sum(job.matrix.feedback is not None for job in jobs),
            sensitivities=dict(zip(self.jobs, found.tolist(), strict=True)),
            prices=dict(zip(self.jobs, prices.tolist(), strict=True)),
        )

    def restore(self) -> None:
        """Put the copy back to what it was."""
        for job in self.jobs.values():
            self.clusterer.restore(job)

    def to_count(self, clusters: int) -> None:
        """Cluster all tensors to a fixed number of values in the copy."""
        jobs = [job for job in self.jobs.values() if len(job.matrix.histogram) > clusters]
        self.clusterer.apply_count(jobs, clusters)

    def _judge_few(self) -> Quality:
        return self.judge.measure(self.copy, self.split.few)

    def _tell(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(stage, done, total)


@dataclass(frozen=True)
class _Curve:
    """The rate-distortion curve of a model: candidates at multiples of its prices, and those visited so far."""

    bench: Bench
    prices: npt.NDArray[np.float64]
    points: list[Point]

    def come_back(self, multiplier: float) -> Point:
        """The point of that multiple, with the copy as it was there."""
        last = self.points[-1]
        return last if last.multiplier == multiplier else self.visit(multiplier)

    def visit(self, multiplier: float) -> Point:
        """Cluster the copy at that multiple, and judge it."""
        bench, jobs = self.bench, list(self.bench.jobs.values())
        priced = bench.clusterer.apply_all(jobs, self.prices * multiplier)
        sizes = [each.codes.size for each in priced]
        point = Point(
            multiplier=multiplier,
            bits=float(np.average([each.entropy for each in priced], weights=sizes)),
            weight_sqnr=float(np.average([_sqnr(*pair) for pair in zip(jobs, priced, strict=True)], weights=sizes)),
            quality=bench.judge.measure(bench.copy, bench.split.everything),
        )
        self.points.append(point)
        bench.progress("Searching", len(self.points), len(self.points) + 1)
        return point


def _sqnr(job: Job, priced: Priced) -> float:
    return 10 * math.log10(job.matrix.power / priced.error) if priced.error > 0 else _EXACT_SQNR


def calibrate(
    process: InterpreterProcess,
    samples: Mapping[str | None, Samples],
    model: Model,
    weights: Mapping[int, Weight],
    original: Path,
    copy: PatchedCopy,
    *,
    seed: int,
    threads: int,
    progress: Progress,
) -> Bench:
    """Observe what meets each of the numbered weights, and get ready to cluster into the copy.

    Raises InterpreterFailure if the original cannot be run on the samples.
    """
    split = split_samples(samples, seed)
    synthetic = all(each.synthetic for each in samples.values())
    layers = {number: layer for number, weight in weights.items() if (layer := find_layer(model, weight))}
    judge = Judge(process, model, original, samples, split.everything, threads)
    moments = gather_moments(
        process,
        model,
        original,
        layers,
        samples,
        split.calibration,
        threads,
        lambda done, total: progress("Calibrating", done, total),
    )
    count = sum(len(indices) for indices in split.calibration.values())
    trust = SYNTHETIC if synthetic else REAL
    jobs = {
        number: make_job(model, weight, layers.get(number), moments.pop(number, None), count, trust)
        for number, weight in weights.items()
    }
    floor = judge.noise_floor(split.few)
    return Bench(Clusterer(model, copy, threads), judge, copy, jobs, split, floor, synthetic, progress)


def cluster_blind(model: Model, weights: Sequence[Weight], copy: PatchedCopy, threads: int) -> None:
    """Cluster without running the model: every tensor keeps the same ratio of signal to noise."""
    jobs = [make_job(model, weight, None, None, 0, SYNTHETIC) for weight in weights]
    Clusterer(model, copy, threads).apply_all(jobs, [price_at_sqnr(job, _BLIND_SQNR) for job in jobs])


def split_samples(samples: Mapping[str | None, Samples], seed: int) -> Split:
    """Shuffle the samples of each signature, take at most 300, and keep a fifth of them aside for sensitivities."""
    order = {key: np.random.default_rng(seed).permutation(each.count)[:_MOST_SAMPLES] for key, each in samples.items()}
    aside = {key: _aside(len(indices)) for key, indices in order.items()}
    return Split(
        calibration={key: indices[aside[key] :] if len(indices) > 1 else indices for key, indices in order.items()},
        few={key: indices[: min(aside[key], _FOR_SENSITIVITIES)] for key, indices in order.items()},
        everything=order,
    )


def _aside(count: int) -> int:
    return max(int(_KEPT_ASIDE * count), min(_LEAST_KEPT_ASIDE, count // 2), 1)
