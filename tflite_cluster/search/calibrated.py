"""A model made ready to be clustered: its layers' inputs observed, its samples split, its jobs made."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ..calibration.effort import Effort
from ..calibration.gather import Observer
from ..calibration.sight import Sight, find_sight
from ..errors import InterpreterFailure
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.layers import find_layers
from ..model.outputs import subgraph_of
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.scales import find_scale_vectors
from ..model.select import Weight
from ..model.verify import Span
from ..progress import Progress
from ..samples.samples import Samples
from .allocation import price_at_sqnr
from .clusterer import REAL, SYNTHETIC, Clusterer, Job, Shrinkage, make_job
from .judge import Judge, SampleIndices
from .plan import MOST_IN_ORDER, plan
from .quality import Quality

_HELD_OUT: Final = 0.2
_LEAST_HELD_OUT: Final = 40
_BLIND_SQNR: Final = 30.0
"""dB that each tensor keeps where the model cannot be run."""


@dataclass(frozen=True)
class Split:
    """Samples by signature: those that calibration sees, those that it does not, those that sensitivities are measured
    on, and all.
    """

    calibration: SampleIndices
    held_out: SampleIndices
    few: SampleIndices
    everything: SampleIndices


@dataclass(frozen=True)
class CalibratedModel:
    """A model ready to be clustered at any price; jobs by the number of their weight."""

    clusterer: Clusterer
    judge: Judge
    observer: Observer
    copy: PatchedCopy
    jobs: dict[int, Job]
    split: Split
    floor: Quality
    """The original under other kernels, or beside itself where those do not run it."""
    shrinkage: Shrinkage
    effort: Effort
    progress: Progress
    floor_is_known: bool = True
    blind: tuple[Job, ...] = ()
    """Weights that nothing which runs makes use of."""
    left_out: tuple[str, ...] = ()
    """What calibration could not do, in words."""

    @property
    def synthetic(self) -> bool:
        """Whether all samples are made up."""
        return self.shrinkage is SYNTHETIC

    @property
    def known_floor(self) -> Quality | None:
        """The noise floor, if there is one."""
        return self.floor if self.floor_is_known else None

    @property
    def observed(self) -> int:
        """How many layers errors can be fed back in."""
        return sum(job.matrix.feedback is not None for job in self.jobs.values())

    @property
    def pass_samples(self) -> int:
        """Samples to cluster those one after the other on; 0 where that would take too long."""
        return min(self.effort.pass_samples(self.observed), self.observer.count)

    def restore(self) -> None:
        """Put the copy back to what it was."""
        for job in (*self.jobs.values(), *self.blind):
            self.clusterer.restore(job)

    def to_count(self) -> None:
        """Cluster all tensors to their fixed number of values in the copy."""
        self.clusterer.apply_count(_with_more(self.jobs.values()))

    def judge_few(self) -> Quality:
        """How far the copy is from the original, on the samples for sensitivities."""
        return self.judge.measure(self.copy, self.split.few)

    def judge_all(self) -> Quality:
        """The same on all samples."""
        return self.judge.measure(self.copy, self.split.everything)


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
    stored: Container[Span],
    clusters: Mapping[Span, int],
    kernels: Kernels = Kernels.DEFAULT,
    by_outputs: bool = False,
    effort: Effort | None = None,
) -> CalibratedModel:
    """Observe what meets each of the numbered weights, and get ready to cluster into the copy.

    samples: of the signatures that run. stored: the places of the weights that are to be stored as int8 codes.
    clusters: most distinct values of those of which that is fixed, by place. kernels: those that run the model.
    by_outputs: not to look at anything but the outputs. effort: what the model is worth, by default from a count of
    its multiplications alone. Raises InterpreterFailure if the original cannot be run on the
    samples.
    """
    copy.flush()
    sights = {
        key: Sight(kernels, False, None)
        if by_outputs
        else find_sight(process, (original, copy.path), key, each.batch(0, 1), kernels, threads)
        for key, each in samples.items()
    }
    reached = {number: weight for number, weight in weights.items() if _is_reached(model, weight, samples)}
    blind = _blind_jobs(
        model, [weight for number, weight in weights.items() if number not in reached], stored, clusters
    )
    weights = reached
    uses = {number: find_layers(model, weight) for number, weight in weights.items()}
    layers = {number: several[0] for number, several in uses.items() if len(several) == 1}
    vectors = {place: each for place, each in find_scale_vectors(model, weights.values()).items() if each.can_grow}
    effort = effort or Effort.of(model, weights.values())
    split = split_samples(samples, seed, effort.samples, effort.sensitivity_samples(len(weights)))
    passes = MOST_IN_ORDER if len(layers) > 1 and effort.pass_samples(len(layers)) else 0
    most = max(each.count for each in samples.values())
    few = min(effort.sensitivity_samples(len(weights)), most)
    is_fixed = all(weight.span in clusters for weight in weights.values())
    progress(plan(min(effort.samples, most), few, len(weights), passes, is_fixed), 1, 1)
    shrinkage = SYNTHETIC if all(each.synthetic for each in samples.values()) else REAL
    judge = Judge(process, model, original, samples, split.everything, split.held_out, threads, sights)
    observer = Observer(process, model, original, samples, split.calibration, threads, sights)
    moments = observer.moments(uses, lambda done, total: progress("Calibrating", done, total))
    ends = {key: judge.ends(key) for key in samples}
    gradients = observer.gradients(layers, ends, effort.gradient_samples)
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(
            lambda number: make_job(
                model,
                weights[number],
                uses[number],
                moments.pop(number, None),
                observer.count,
                shrinkage,
                gradients=gradients.pop(number, None),
                gradient_samples=min(observer.count, effort.gradient_samples),
                stored=weights[number].span in stored,
                clusters=clusters.get(weights[number].span),
                vectors=None if weights[number].span in clusters else vectors.get(weights[number].span),
            ),
            weights,
        )
        jobs = dict(zip(weights, made, strict=True))
    layers_observed = sum(job.matrix.feedback is not None for job in jobs.values())
    left_out = list(_words(sights))
    left_out += effort.left_out(max(each.count for each in samples.values()), len(weights), layers_observed)
    try:
        floor, is_known = judge.noise_floor(split.few), True
    except InterpreterFailure as failure:
        floor, is_known = judge.exact, False
        left_out.append(
            f"the noise floor is not known, because the model does not run under other kernels: {failure.cause}"
        )
    clusterer = Clusterer(model, copy, threads)
    _apply_blind(clusterer, blind)
    return CalibratedModel(
        clusterer, judge, observer, copy, jobs, split, floor, shrinkage, effort, progress, is_known, tuple(blind),
        tuple(left_out),
    )  # fmt: skip


def cluster_blind(
    model: Model,
    weights: Sequence[Weight],
    copy: PatchedCopy,
    threads: int,
    stored: Container[Span],
    clusters: Mapping[Span, int],
) -> None:
    """Cluster without running the model: to a number of values, or so that all keep the same ratio of signal to noise.

    stored, clusters: as for `calibrate`.
    """
    _apply_blind(Clusterer(model, copy, threads), _blind_jobs(model, weights, stored, clusters))


def _blind_jobs(
    model: Model, weights: Iterable[Weight], stored: Container[Span], clusters: Mapping[Span, int]
) -> list[Job]:
    return [
        make_job(
            model, weight, (), None, 0, SYNTHETIC, stored=weight.span in stored, clusters=clusters.get(weight.span)
        )
        for weight in weights
    ]


def _apply_blind(clusterer: Clusterer, jobs: Iterable[Job]) -> None:
    jobs = list(jobs)
    clusterer.apply_count(_with_more(job for job in jobs if job.clusters is not None))
    free = [job for job in jobs if job.clusters is None]
    clusterer.apply_all(free, [price_at_sqnr(job, _BLIND_SQNR) for job in free])


def _is_reached(model: Model, weight: Weight, running: Collection[str | None]) -> bool:
    """Whether a signature that runs may use a weight: it is not in the subgraphs of others alone."""
    lost = {signature.subgraph for key, signature in model.signatures.items() if key not in running}
    lost -= {subgraph_of(model, key) for key in running}  # None runs the first, where signatures give nothing
    return not weight.users or any(user.operator.subgraph not in lost for user in weight.users)


def _words(sights: Mapping[str | None, Sight]) -> Iterator[str]:
    """What cannot be observed, in words."""
    for key, sight in sights.items():
        where = f" of signature '{key}'" if len(sights) > 1 else ""
        cause = f": {sight.cause}" if sight.cause else ""
        if sight.layers is None:
            yield f"the layers{where} cannot be observed, so errors are judged by the model's outputs alone{cause}"
        elif not sight.keeps:
            yield f"the layers{where} are observed under different kernels from those that run the candidates{cause}"


def _with_more(jobs: Iterable[Job]) -> list[Job]:
    """Those with more values than asked for, and those that become codes whatever they hold."""
    return [job for job in jobs if job.channels is not None or len(job.matrix.histogram) > (job.clusters or 0)]


def split_samples(samples: Mapping[str | None, Samples], seed: int, most: int, few: int) -> Split:
    """Shuffle the samples of each signature, take so many, and keep a fifth of them from calibration.

    few: how many samples sensitivities are measured on; those held out come first held out.
    """
    order = {key: np.random.default_rng(seed).permutation(each.count)[:most] for key, each in samples.items()}
    apart = {key: _held_out(len(indices)) for key, indices in order.items()}
    return Split(
        calibration={key: indices[apart[key] :] if len(indices) > 1 else indices for key, indices in order.items()},
        held_out={key: indices[: apart[key]] for key, indices in order.items()},
        few={key: indices[:few] for key, indices in order.items()},
        everything=order,
    )


def _held_out(count: int) -> int:
    return max(int(_HELD_OUT * count), min(_LEAST_HELD_OUT, count // 2), 1)
