"""A model made ready to be clustered: its layers' inputs observed, its samples split, its jobs made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..calibration.effort import Effort
from ..calibration.gather import Observer
from ..calibration.observability import Observability, find_observability
from ..errors import InterpreterFailure
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..model.groups import Groups
from ..model.layer import Layer
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.weight import Weight
from ..progress import Plan, Progress
from ..samples.samples import Samples
from .allocation import price_at_sqnr
from .clusterer import Clusterer
from .encodings import Encoding, Place, RescaledCodes, SameCodes
from .job import Job, make_job
from .judge import Judge, SampleIndices
from .plan import MOST_IN_ORDER, plan
from .quality import Quality
from .statistics import REAL, SYNTHETIC, Shrinkage, Statistics
from .task import Task

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
    effects: Mapping[int, float]
    """What errors of variance 1 in a weight do to the outputs, where gradients were asked for that and tell it."""
    probes: Judge | None = None
    """Judges class scores on probes; None if there are none."""
    floor_is_known: bool = True
    blind: tuple[Job, ...] = ()
    """Weights that nothing which runs makes use of."""
    left_out: tuple[str, ...] = ()
    """What calibration could not do, in words."""

    @property
    def synthetic(self) -> bool:
        """Whether all samples are synthetic."""
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
        self.clusterer.apply_count(self.jobs.values())

    def judge_few(self) -> Quality:
        """How far the copy is from the original, on the samples for sensitivities."""
        return self.judge.measure(self.copy, self.split.few)

    def judge_all(self) -> Quality:
        """The same on all samples, and on the probes."""
        quality = self.judge.measure(self.copy, self.split.everything)
        if self.probes is None:
            return quality
        return replace(quality, scores_sqnr=self.probes.measure(self.copy).scores_sqnr)


def calibrate(
    task: Task,
    process: InterpreterProcess,
    samples: Mapping[str | None, Samples],
    kernels: Kernels = Kernels.DEFAULT,
    effort: Effort | None = None,
    *,
    by_outputs: bool = False,
    probes: Mapping[str | None, Samples] | None = None,
) -> CalibratedModel:
    """Observe the inputs of the layers of each weight, and get ready to cluster into the copy.

    samples: of the signatures that run. kernels: those that run the model. effort: what the model is worth, by default
    from a count of its multiplications alone. by_outputs: do not observe anything but the outputs. probes: of some of
    the signatures. Raises InterpreterFailure if the original cannot be run on the samples.
    """
    model, threads = task.model, task.threads
    task.copy.flush()
    observability = {
        key: Observability(kernels, False, None)
        if by_outputs
        else find_observability(process, (task.original, task.copy.path), key, each.batch(0, 1), kernels, threads)
        for key, each in samples.items()
    }
    weights = {number: weight for number, weight in task.weights.items() if _is_reached(model, weight, samples)}
    blind = _blind_jobs(task, [weight for number, weight in task.weights.items() if number not in weights])
    uses = {number: task.analysis.layers(weight) for number, weight in weights.items()}
    layers = {number: several[0] for number, several in uses.items() if len(several) == 1}
    effort = effort or Effort.of(model, weights.values())
    split = split_samples(samples, task.seed, effort.samples, effort.sensitivity_samples(len(weights)))
    most = max(each.count for each in samples.values())
    task.progress(_plan(task, effort, most, len(weights), len(layers)), 1, 1)
    shrinkage = SYNTHETIC if all(each.synthetic for each in samples.values()) else REAL
    judge = Judge(process, model, task.original, samples, split.everything, split.held_out, threads, observability)
    prober = None
    every = {key: np.arange(each.count) for key, each in (probes or {}).items()}
    if probes and judge.judges_scores:
        prober = Judge(process, model, task.original, probes, every, every, threads, observability)
    observer = Observer(process, model, task.original, samples, split.calibration, threads, observability)
    moments = observer.moments(uses, lambda done, total: task.progress("Calibrating", done, total))
    seeds = {key: judge.gradient_seeds(key) for key in observer.samples}
    inputs = moments if effort.is_short else {}
    gradients = observer.gradients(
        layers, seeds, effort.gradient_samples, inputs, shifts_biases=shrinkage.shifts_biases
    )
    counts = observer.count, min(observer.count, effort.gradient_samples)
    statistics = [
        Statistics(moments.get(each), counts[0], gradients.moments.get(each), counts[1], shrinkage) for each in uses
    ]
    jobs = _jobs(task, weights, uses, statistics)
    layers_observed = sum(job.matrix.feedback is not None for job in jobs.values())
    searches = any(job.clusters is None for job in jobs.values())
    short_of = effort.left_out(most, len(weights), layers_observed, searches=searches)
    left_out = [*_words(observability), *observer.missed, *short_of]
    few = split.few if effort.floor_samples is None else _first(split.everything, effort.floor_samples)
    try:
        floor, is_known = judge.noise_floor(few), True
        if prober is not None:
            floor = replace(floor, scores_sqnr=prober.noise_floor(_first(every, effort.floor_samples)).scores_sqnr)
    except InterpreterFailure as failure:
        floor, is_known = judge.exact, False
        left_out.append(
            f"the noise floor is not known, because the model does not run under other kernels: {failure.cause}"
        )
    clusterer = Clusterer(model, task.copy, threads)
    _apply_blind(clusterer, blind)
    return CalibratedModel(
        clusterer, judge, observer, task.copy, jobs, split, floor, shrinkage, effort, task.progress, gradients.effects,
        prober, is_known, tuple(blind), tuple(left_out),
    )  # fmt: skip


def _plan(task: Task, effort: Effort, most: int, weights: int, layers: int) -> Plan:
    """What is going to be done. most: samples of the signature that has the most."""
    passes = MOST_IN_ORDER if layers > 1 and effort.pass_samples(layers) else 0
    few = 0 if effort.is_short else min(effort.sensitivity_samples(weights), most)
    is_fixed = all(weight.span in task.clusters for weight in task.weights.values())
    return plan(min(effort.samples, most), few, weights, passes, is_fixed, effort.time)


def _jobs(
    task: Task,
    weights: Mapping[int, Weight],
    uses: Mapping[int, Sequence[Layer]],
    statistics: Iterable[Statistics],
) -> dict[int, Job]:
    def encode(weight: Weight, rows: Groups) -> Encoding:
        encoding, vectors = task.encode(weight, rows), task.analysis.growing_scales(weight)
        if isinstance(encoding, SameCodes) and vectors is not None and weight.span not in task.clusters:
            return RescaledCodes(Place(weight, rows), vectors)
        return encoding

    def made(number: int, observed: Statistics) -> Job:
        weight = weights[number]
        clusters = task.clusters.get(weight.span)
        return make_job(task.model, weight, encode, uses[number], observed, clusters, task.base)

    with ThreadPoolExecutor(task.threads) as pool:
        return dict(zip(weights, pool.map(made, weights, statistics), strict=True))


def cluster_blind(task: Task) -> None:
    """Cluster without running the model: to a number of values, or all to the same signal-to-noise ratio."""
    _apply_blind(Clusterer(task.model, task.copy, task.threads), _blind_jobs(task, task.weights.values()))


def _blind_jobs(task: Task, weights: Iterable[Weight]) -> list[Job]:
    return [
        make_job(task.model, weight, task.encode, clusters=task.clusters.get(weight.span), base=task.base)
        for weight in weights
    ]


def _apply_blind(clusterer: Clusterer, jobs: Iterable[Job]) -> None:
    jobs = list(jobs)
    clusterer.apply_count(job for job in jobs if job.clusters is not None)
    free = [job for job in jobs if job.clusters is None]
    clusterer.apply_all(free, [price_at_sqnr(job, _BLIND_SQNR) for job in free])


def _is_reached(model: Model, weight: Weight, running: Collection[str | None]) -> bool:
    """Whether a signature that runs may use a weight: it is not in the subgraphs of others alone."""
    lost = {signature.subgraph for key, signature in model.signatures.items() if key not in running}
    lost -= {model.subgraph_of(key).index for key in running}  # None runs the first, where signatures give nothing
    return not weight.users or any(user.operator.subgraph not in lost for user in weight.users)


def _words(observability: Mapping[str | None, Observability]) -> Iterator[str]:
    """What cannot be observed, in words."""
    for key, how in observability.items():
        where = f" of signature '{key}'" if len(observability) > 1 else ""
        cause = f": {how.cause}" if how.cause else ""
        if how.layers is None:
            yield f"the layers{where} cannot be observed, so errors are judged by the model's outputs alone{cause}"
        elif not how.keeps:
            yield f"the layers{where} are observed under different kernels from those that run the candidates{cause}"


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


def _first(indices: SampleIndices, most: int | None) -> SampleIndices:
    """The first samples of each signature; all if `most` is None."""
    return {key: each[:most] for key, each in indices.items()}


def _held_out(count: int) -> int:
    return max(int(_HELD_OUT * count), min(_LEAST_HELD_OUT, count // 2), 1)
