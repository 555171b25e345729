"""From a model and its samples to the smallest candidate that is good enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..calibration.gather import gather_moments
from ..calibration.samples import Samples
from ..interpreter.process import InterpreterProcess
from ..model.layers import find_layer
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.select import Weight
from .allocation import base_prices, sensitivities
from .points import Point, furthest
from .workbench import Job, Workbench, make_jobs

Chosen = Mapping[str | None, npt.NDArray[np.intp]]
Progress = Callable[[str, int, int], None]

_MOST_SAMPLES: Final = 300
_KEPT_ASIDE: Final = 0.2
_LEAST_KEPT_ASIDE: Final = 40
_FOR_SENSITIVITIES: Final = 24


@dataclass(frozen=True)
class Split:
    """Samples by signature: those that calibration sees, and those that only judge. `few` of the latter do for
    sensitivities.
    """

    calibration: Chosen
    judging: Chosen
    few: Chosen
    everything: Chosen


def split_samples(samples: Mapping[str | None, Samples], seed: int) -> Split:
    """Shuffle the samples of each signature, take at most 300, and keep a fifth of them aside."""
    order = {key: np.random.default_rng(seed).permutation(each.count)[:_MOST_SAMPLES] for key, each in samples.items()}
    aside = {
        key: max(int(_KEPT_ASIDE * len(indices)), min(_LEAST_KEPT_ASIDE, len(indices) // 2), 1)
        for key, indices in order.items()
    }
    return Split(
        calibration={key: indices[aside[key] :] if len(indices) > 1 else indices for key, indices in order.items()},
        judging={key: indices[: aside[key]] for key, indices in order.items()},
        few={key: indices[: min(aside[key], _FOR_SENSITIVITIES)] for key, indices in order.items()},
        everything=order,
    )


@dataclass(frozen=True)
class Search:
    """What a search did: all points in the order visited, the one chosen (None if none was good), how many tensors
    had their inputs observed, and sensitivity, price and bits by entropy of each weight, in order.
    """

    points: tuple[Point, ...]
    chosen: Point | None
    observed: int
    sensitivities: tuple[float, ...]
    prices: tuple[float, ...]
    bits: tuple[float, ...]


@dataclass(frozen=True)
class Calibrated:
    """A model ready to be clustered at any price."""

    bench: Workbench
    jobs: list[Job]
    split: Split
    progress: Progress

    def search(self, is_good: Callable[[Point], bool]) -> Search:
        """Find the furthest good candidate and leave it in the copy; the least bad one if there is none."""
        few = self.split.few
        found = sensitivities(
            self.bench,
            self.jobs,
            lambda: self.bench.measure(few),
            lambda done, total: self.progress("Measuring sensitivities", done, total),
        )
        prices = base_prices(self.jobs, found)
        visited = 0

        def visit(multiplier: float) -> Point:
            nonlocal visited
            point = self._visit(multiplier, prices)
            visited += 1
            self.progress("Searching", visited, visited + 1)
            return point

        chosen, points = furthest(visit, is_good)
        last = chosen or min(points, key=lambda point: point.multiplier)
        priced = self.bench.apply_all(self.jobs, prices * last.multiplier)
        return Search(
            points=tuple(points),
            chosen=chosen,
            observed=sum(job.matrix.feedback is not None for job in self.jobs),
            sensitivities=tuple(found.tolist()),
            prices=tuple((prices * last.multiplier).tolist()),
            bits=tuple(each.entropy for each in priced),
        )

    def to_count(self, clusters: int) -> None:
        """Cluster all tensors to a fixed number of values in the copy."""
        self.bench.apply_counts(self.jobs, clusters)

    def _visit(self, multiplier: float, prices: npt.NDArray[np.float64]) -> Point:
        priced = self.bench.apply_all(self.jobs, prices * multiplier)
        weights = sum(each.codes.size for each in priced)
        bits = sum(each.entropy * each.codes.size for each in priced) / weights
        return Point(multiplier, bits, self.bench.measure(self.split.everything))


def calibrate(
    process: InterpreterProcess,
    samples: Mapping[str | None, Samples],
    model: Model,
    weights: Sequence[Weight],
    original: Path,
    copy: PatchedCopy,
    *,
    seed: int,
    threads: int,
    progress: Progress,
) -> Calibrated:
    """Observe what meets each weight, and get ready to cluster into the copy.

    Raises InterpreterFailure if the original cannot be run on the samples.
    """
    split = split_samples(samples, seed)
    layers = {number: layer for number, weight in enumerate(weights) if (layer := find_layer(model, weight))}
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
    jobs = make_jobs(model, weights, layers, moments, sum(len(indices) for indices in split.calibration.values()))
    return Calibrated(
        Workbench(process, model, original, copy, samples, split.everything, threads), jobs, split, progress
    )
