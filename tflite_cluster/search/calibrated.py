"""A model made ready to be clustered: its layers' inputs observed, its samples split, its jobs made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..calibration.effort import Effort
from ..calibration.gather import LayerGradients, Observer
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
from .job import Job, coupled, make_job
from .judge import Judge, SampleIndices
from .plan import MOST_IN_ORDER, plan
from .quality import Quality
from .statistics import REAL, SYNTHETIC, Shrinkage, Statistics
from .task import Task

_HELD_OUT: Final = 0.2
_LEAST_HELD_OUT: Final = 40
_BLIND_SQNR: Final = 30.0
"""dB that each tensor keeps where the model cannot be run."""

_FEW_OF_FLOOR: Final = 10
"""Samples, and probes, on which a short run measures the noise floor: two of each kind of probes."""

_FEWEST_OF_FLOOR: Final = 2
_NEGLIGIBLE: Final = 60.0
"""dB of a noise floor that no limit comes near. A short run measures the floor on the fewest samples first, and on more
only if it is worse than this, since other kernels are slow. Float models have 100 dB.
"""


@dataclass(frozen=True)
class Split:
    """Samples by signature: those that calibration sees, those that it does not, those that sensitivities are measured
    on, and those that candidates are judged by.
    """

    calibration: SampleIndices
    held_out: SampleIndices
    few: SampleIndices
    judged: SampleIndices


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
        """The same on all samples that candidates are judged by, and on the probes."""
        quality = self.judge.measure(self.copy)
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
    probes: Mapping[str | None, Callable[[], Samples]] | None = None,
) -> CalibratedModel:
    """Observe the inputs of the layers of each weight, and get ready to cluster into the copy.

    samples: of the signatures that run. kernels: those that run the model. effort: what the model is worth, by default
    from a count of its multiplications alone. by_outputs: do not observe anything but the outputs. probes:
    functions that make those of some signatures. Raises InterpreterFailure if the original does not run on the samples.
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
    shrinkage = SYNTHETIC if all(each.synthetic for each in samples.values()) else REAL
    few = effort.sensitivity_samples(len(weights))
    split = split_samples(
        samples, task.seed, effort.samples, few, by_held_out=effort.is_short and shrinkage is SYNTHETIC
    )
    most = max(each.count for each in samples.values())
    task.progress(_plan(task, effort, most, len(weights), len(layers)), 1, 1)
    judge = Judge(process, model, task.original, samples, split.judged, split.held_out, threads, observability)
    observer = Observer(process, model, task.original, samples, split.calibration, threads, observability)

    def observe_outputs() -> tuple[Judge | None, _Floor]:
        prober = None
        if made is not None:
            every = {key: np.arange(each.count) for key, each in made.result().items()}
            prober = Judge(process, model, task.original, made.result(), every, every, threads, observability)
        return prober, _noise_floor(judge, prober, split.few, is_short=effort.is_short)

    with process.threads(2) as meanwhile:  # the interpreter's process and this one work at the same time
        made = meanwhile.submit(_make, probes) if probes and judge.judges_scores else None
        moments = observer.moments(uses, lambda done, total: task.progress("Calibrating", done, total))
        seeds = {key: judge.gradient_seeds(key) for key in observer.samples}
        inputs, some = moments if effort.is_short else {}, effort.gradient_samples
        of_gradients = meanwhile.submit(
            observer.gradients, layers, seeds, some, inputs, shifts_biases=shrinkage.shifts_biases
        )
        of_outputs = meanwhile.submit(observe_outputs)
        jobs = _jobs(task, weights, uses, [Statistics(moments.get(n), observer.count, shrinkage) for n in uses])
        gradients = of_gradients.result()
        jobs = _coupled(jobs, gradients, min(observer.count, some), shrinkage, threads)
        prober, floor = of_outputs.result()
    layers_observed = sum(job.matrix.feedback is not None for job in jobs.values())
    searches = any(job.clusters is None for job in jobs.values())
    short_of = effort.left_out(most, len(weights), layers_observed, searches=searches)
    left_out = [*_words(observability), *observer.missed, *short_of]
    if floor.cause is not None:
        left_out.append(
            f"the noise floor is not known, because the model does not run under other kernels: {floor.cause}"
        )
    clusterer = Clusterer(model, task.copy, threads)
    _apply_blind(clusterer, blind)
    return CalibratedModel(
        clusterer, judge, observer, task.copy, jobs, split, floor.quality, shrinkage, effort, task.progress,
        gradients.effects, prober, floor.cause is None, tuple(blind), tuple(left_out),
    )  # fmt: skip


def _make(probes: Mapping[str | None, Callable[[], Samples]]) -> dict[str | None, Samples]:
    return {key: make() for key, make in probes.items()}


@dataclass(frozen=True)
class _Floor:
    """How near the original comes to itself under other kernels. cause: why those cannot run it, in words."""

    quality: Quality
    cause: str | None = None


def _noise_floor(judge: Judge, prober: Judge | None, few: SampleIndices, *, is_short: bool) -> _Floor:
    """few: samples to measure it on. A short run takes fewer, and the fewest if the floor is negligible on those."""
    try:
        if not is_short:
            return _Floor(_measured_floor(judge, prober, few, None))
        floor = _measured_floor(judge, prober, judge.first(_FEWEST_OF_FLOOR), _FEWEST_OF_FLOOR)
        if min(floor.sqnr, floor.held_out_sqnr, floor.scores_sqnr) < _NEGLIGIBLE:
            floor = _measured_floor(judge, prober, judge.first(_FEW_OF_FLOOR), _FEW_OF_FLOOR)
        return _Floor(floor)
    except InterpreterFailure as failure:
        return _Floor(judge.exact, failure.cause)


def _measured_floor(judge: Judge, prober: Judge | None, few: SampleIndices, most: int | None) -> Quality:
    """most: probes to measure it on; None for all."""
    floor = judge.noise_floor(few)
    if prober is None:
        return floor
    return replace(floor, scores_sqnr=prober.noise_floor(prober.first(most)).scores_sqnr)


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


def _coupled(
    jobs: Mapping[int, Job], gradients: LayerGradients, samples: int, shrinkage: Shrinkage, threads: int
) -> dict[int, Job]:
    """The jobs with what gradients from so many samples tell."""

    def made(number: int) -> Job:
        return coupled(jobs[number], gradients.moments.get(number), samples, shrinkage)

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(jobs, pool.map(made, jobs), strict=True))


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


def split_samples(
    samples: Mapping[str | None, Samples], seed: int, most: int, few: int, *, by_held_out: bool = False
) -> Split:
    """Shuffle the samples of each signature, take so many, and keep a fifth of them from calibration.

    few: how many samples sensitivities are measured on; those held out come first. by_held_out: judge by those alone.
    """
    order = {key: np.random.default_rng(seed).permutation(each.count)[:most] for key, each in samples.items()}
    apart = {key: _held_out(len(indices)) for key, indices in order.items()}
    held_out = {key: indices[: apart[key]] for key, indices in order.items()}
    judged = held_out if by_held_out else order
    return Split(
        calibration={key: indices[apart[key] :] if len(indices) > 1 else indices for key, indices in order.items()},
        held_out=held_out,
        few={key: indices[:few] for key, indices in judged.items()},
        judged=judged,
    )


def _held_out(count: int) -> int:
    return max(int(_HELD_OUT * count), min(_LEAST_HELD_OUT, count // 2), 1)
