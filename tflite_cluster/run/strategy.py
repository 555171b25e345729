"""Which way a model is clustered: to a count or to a fidelity, with the interpreter's help or without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..config import Chosen, Config
from ..errors import ConfigError, InterpreterFailure
from ..model.analysis import Analysis
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.verify import Span
from ..model.weight import Weight
from ..progress import Progress
from ..result import Strategy
from ..search.base import Base
from ..search.calibrated import CalibratedModel, calibrate, cluster_blind
from ..search.criterion import criterion, usual_criterion
from ..search.run import repeat, search, search_size
from ..search.task import Task
from ..targets import find_target
from ..targets.chips import find_chip
from .describe import cluster_weights
from .patterns import refuse_unfit
from .scoring import Scorer
from .session import Session
from .size_limit import SizeLimit

Answer = TypeVar("Answer")


def cluster_model(
    analysis: Analysis,
    original: Path,
    copy: PatchedCopy,
    session: Session | str,
    config: Config,
    progress: Progress,
    base: Base | None = None,
    limit: SizeLimit | None = None,
) -> Strategy:
    """Cluster the weights into the copy as the settings ask for, as well as the session allows.

    base: the last release, which weights are kept close to. limit: what the new model may weigh.
    """
    usable = usable_weights(analysis, config)
    keeps_types = find_target(config.store).keeps_types
    blind = isinstance(session, str) and config.clusters is not None and keeps_types and base is None
    if config.granularity == "axis" or blind:
        cluster_weights(analysis.model, list(usable.values()), copy, config, progress)
        cause = f" ({session})" if isinstance(session, str) else ""
        found = Strategy(f"k-means on the weights alone{cause}")
    elif usable:
        task = replace(make_task(analysis, usable, original, copy, config, progress), base=base)
        found = _as_session_allows(task, session, config, limit)
    else:
        found = Strategy("no weight that could be clustered")
    return replace(found, left_out=(*_not_stored(analysis, config), *found.left_out))


def _as_session_allows(task: Task, session: Session | str, config: Config, limit: SizeLimit | None) -> Strategy:
    """With the layers observed, else with the outputs alone, else without running the model."""
    if isinstance(session, str):
        return _without_running(task, session, config)
    cause = ""
    for by_outputs in (False, True):
        try:
            found = _with_running(task, session, config, limit, by_outputs)
            causes = (f"the layers are not observed, because the attempt failed: {cause}",) if by_outputs else ()
            return replace(found, left_out=(*_not_run(session), *causes, *found.left_out))
        except InterpreterFailure as failure:
            cause = cause or failure.cause
            for span in task.copy.spans:  # also those of biases
                task.copy.restore(span)
    return _without_running(task, f"calibration failed: {cause}", config)


def make_task(
    analysis: Analysis,
    weights: Mapping[int, Weight],
    original: Path,
    copy: PatchedCopy,
    config: Config,
    progress: Progress,
) -> Task:
    """What the settings ask to be done with the numbered weights.

    Raises ModelError, before any work is done, if the target's file could not be written in the end.
    """
    form = find_target(config.store) if config.target is None else find_chip(config.target)
    return Task(
        analysis=analysis,
        original=original,
        copy=copy,
        weights=weights,
        encode=form.encode(analysis, weights.values()),
        clusters=_fixed_counts(weights.values(), config),
        seed=config.seed,
        threads=config.threads,
        progress=progress,
    )


def _not_stored(analysis: Analysis, config: Config) -> tuple[str, ...]:
    """Says that `--store` has no effect, if all weights are integers."""
    weights = analysis.weights
    if find_target(config.store).keeps_types or not weights or any(weight.storage.is_float for weight in weights):
        return ()
    return (f"no weight is stored as {config.store}, because none is a float: leave out --store",)


def _not_run(session: Session) -> tuple[str, ...]:
    return tuple(
        f"signature '{key}' cannot be run, so that nothing is known of its outputs: {cause}"
        for key, cause in session.not_run.items()
    )


def _with_running(task: Task, session: Session, config: Config, limit: SizeLimit | None, by_outputs: bool) -> Strategy:
    """by_outputs: observe nothing but the outputs."""
    calibrated = calibrate(
        task, session.process, session.samples, session.kernels, session.effort, by_outputs=by_outputs,
        probes=session.probes,
    )  # fmt: skip
    found = _search(task, calibrated, session, config, limit)
    return replace(found, left_out=calibrated.left_out)


def _search(
    task: Task, calibrated: CalibratedModel, session: Session, config: Config, limit: SizeLimit | None
) -> Strategy:
    basis = ", ".join(sorted({samples.source for samples in session.samples.values()}))
    if config.clusters is not None:
        calibrated.to_count()
        return Strategy(f"calibrated on {basis}")
    if not calibrated.jobs:
        return Strategy("every weight at the same signal-to-noise ratio (no signature that runs uses any)")
    if calibrated.judge.is_silent and config.chosen is None and limit is None:
        calibrated.restore()
        reached = replace(task, weights={number: task.weights[number] for number in calibrated.jobs})
        return _without_running(reached, silence_in_words(calibrated), config)
    if config.chosen is not None:
        found = repeat(calibrated, _prices(task.model, calibrated, config.chosen), config.chosen.in_order)
        return Strategy(f"as a search on {basis} chose before", found)
    if limit is not None:
        found = search_size(calibrated, lambda: ask_finished(task, config, limit.fits))
    else:
        usual = usual_criterion(calibrated) if config.has_gates else None
        is_good = criterion(config, calibrated, score_drop(calibrated, session.scorer))
        found = search(calibrated, is_good, usual, by_point=session.scorer is None)
        if found.chosen is None and not config.has_gates:
            calibrated.restore()
            return Strategy(f"searched on {basis}; nothing tried was close enough to the original", found)
    return Strategy(f"searched on {basis}", found)


def silence_in_words(calibrated: CalibratedModel) -> str:
    """Why the outputs do not tell how far a candidate is from the original."""
    names = ", ".join(calibrated.judge.silent[:3])
    remedy = "give --data" if calibrated.synthetic else "give other samples"
    return f"{names} hardly varies over these samples, so that no candidate can be judged by its outputs: {remedy}"


def _prices(model: Model, calibrated: CalibratedModel, chosen: Chosen) -> dict[int, float]:
    """The prices of a recipe; raises ConfigError if they are not for this model, or for other weights of it."""
    if hashlib.sha256(model.data).hexdigest() != chosen.model:
        raise ConfigError(
            "{label}: the recipe's prices were chosen for another model: leave out its [chosen]", label=model.label
        )
    if chosen.prices.keys() != calibrated.jobs.keys():
        raise ConfigError(
            "{label}: the recipe's prices are not for the same weights: leave out its [chosen]", label=model.label
        )
    return {number: chosen.prices[number] for number in calibrated.jobs}


def _fixed_counts(weights: Iterable[Weight], config: Config) -> dict[Span, int]:
    """Most distinct values of the weights for which that is fixed, by place."""
    counts = ((weight.span, config.most_values(weight.tensor.name, weight.operators)) for weight in weights)
    return {span: count for span, count in counts if count is not None}


def ask_finished(task: Task, config: Config, ask: Callable[[Path], Answer]) -> Answer:
    """What `ask` says of the file that the copy becomes as it now is."""
    with find_target(config.store).finished(task.analysis, task.copy) as new:
        return ask(new.path)


def score_drop(calibrated: CalibratedModel, scorer: Scorer | None) -> Callable[[], float] | None:
    """What the candidate in the copy loses of the user's own score, if there is one."""
    return None if scorer is None else lambda: scorer.compare(calibrated.copy.path).drop


def _without_running(task: Task, cause: str, config: Config) -> Strategy:
    if config.clusters is not None and find_target(config.store).keeps_types and task.base is None:
        cluster_weights(task.model, list(task.weights.values()), task.copy, config, task.progress)
    else:
        cluster_blind(task)
    if config.clusters is not None:
        return Strategy(f"k-means on the weights alone ({cause})")
    return Strategy(f"every weight at the same signal-to-noise ratio ({cause})")


def usable_weights(analysis: Analysis, config: Config) -> dict[int, Weight]:
    """The weights to cluster, by their number; raises ConfigError if a pattern or a rule fits no weight at all."""
    model, weights = analysis.model, analysis.weights
    refuse_unfit(weights, config, model.label)
    wanted = {
        number: weight
        for number, weight in enumerate(weights)
        if not config.keeps(weight.tensor.name, weight.operators)
    }
    return {number: weight for number, weight in wanted.items() if _is_usable(model, weight)}


def _is_usable(model: Model, weight: Weight) -> bool:
    """Whether there is anything to cluster: finite values, and more than one of them."""
    codes = weight.codes(model)
    finite = not weight.storage.is_float or np.isfinite(codes).all()
    usable = bool(codes.size and finite and codes.min() < codes.max())
    model.forget(weight.span)  # after the last look: codes may be the very bytes of the file
    return usable
