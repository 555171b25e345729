"""Which way a model is clustered: to a count or to a fidelity, with the interpreter's help or without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from ..config import Config
from ..errors import ConfigError, InterpreterFailure
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.select import Weight
from ..model.storing.copy import finished
from ..model.storing.storable import storable
from ..model.storing.store import require_movable
from ..model.verify import Span
from ..packing.sizes import compressed_size
from ..progress import Progress
from ..result import Strategy
from ..rules import Chosen
from ..search.calibrated import CalibratedModel, calibrate, cluster_blind
from ..search.criterion import criterion, usual_criterion
from ..search.run import repeat, search, search_size
from .describe import cluster_weights
from .scoring import Scorer
from .session import Session


def cluster_model(
    model: Model,
    weights: Sequence[Weight],
    original: Path,
    copy: PatchedCopy,
    session: Session | str,
    config: Config,
    progress: Progress,
) -> Strategy:
    """Cluster the weights into the copy as the settings ask for, as well as the session allows."""
    usable = usable_weights(model, weights, config)
    blind = isinstance(session, str) and config.clusters is not None and config.store == "same"
    if config.granularity == "axis" or blind:
        cluster_weights(model, list(usable.values()), copy, config, progress)
        cause = f" ({session})" if isinstance(session, str) else ""
        return Strategy(f"k-means on the weights alone{cause}")
    if not usable:
        return Strategy("no weight that could be clustered")
    cause = session if isinstance(session, str) else ""
    if isinstance(session, Session):
        for by_outputs in (False, True):
            try:
                found = _calibrated(model, usable, original, copy, session, config, progress, by_outputs)
                causes = (f"the layers are not observed, because the attempt failed: {cause}",) if by_outputs else ()
                return replace(found, left_out=(*_not_run(session), *causes, *found.left_out))
            except InterpreterFailure as failure:
                cause = cause or failure.cause
                for span in copy.spans:  # also those of biases
                    copy.restore(span)
        cause = f"calibration failed: {cause}"
    return _without_running(model, list(usable.values()), copy, cause, config, progress)


def _not_run(session: Session) -> tuple[str, ...]:
    return tuple(
        f"signature '{key}' cannot be run, so that nothing is known of its outputs: {cause}"
        for key, cause in session.not_run.items()
    )


def _calibrated(
    model: Model,
    weights: dict[int, Weight],
    original: Path,
    copy: PatchedCopy,
    session: Session,
    config: Config,
    progress: Progress,
    by_outputs: bool,
) -> Strategy:
    """by_outputs: whether to look at nothing but the outputs."""
    calibrated = calibrate(
        session.process,
        session.samples,
        model,
        weights,
        original,
        copy,
        seed=config.seed,
        threads=config.threads,
        progress=progress,
        stored=to_store(model, weights.values(), config),
        clusters=fixed_counts(weights.values(), config),
        kernels=session.kernels,
        by_outputs=by_outputs,
        effort=session.effort,
    )
    found = _search(model, original, copy, calibrated, session, config)
    return replace(found, left_out=calibrated.left_out)


def _search(
    model: Model, original: Path, copy: PatchedCopy, calibrated: CalibratedModel, session: Session, config: Config
) -> Strategy:
    basis = ", ".join(sorted({samples.source for samples in session.samples.values()}))
    if config.clusters is not None:
        calibrated.to_count()
        return Strategy(f"calibrated on {basis}")
    if not calibrated.jobs:
        return Strategy("every weight at the same signal-to-noise ratio (no signature that runs uses any)")
    if calibrated.judge.is_silent and config.chosen is None and config.max_size is None:
        calibrated.restore()
        weights = [job.weight for job in calibrated.jobs.values()]
        return _without_running(model, weights, copy, silence_in_words(calibrated), config, calibrated.progress)
    if config.chosen is not None:
        found = repeat(calibrated, _prices(model, calibrated, config.chosen), config.chosen.in_order)
        return Strategy(f"as a search on {basis} chose before", found)
    if config.max_size is not None:
        most = config.size_limit(compressed_size(original, "zip9"))
        found = search_size(calibrated, lambda: most is not None and _zipped(copy) <= most)
    else:
        usual = usual_criterion(calibrated) if config.has_gates else None
        found = search(calibrated, criterion(config, calibrated, score_drop(calibrated, session.scorer)), usual)
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


def fixed_counts(weights: Iterable[Weight], config: Config) -> dict[Span, int]:
    """Most distinct values of the weights of which that is fixed, by place."""
    counts = ((weight.span, config.most_values(weight.tensor.name, weight.operators)) for weight in weights)
    return {span: count for span, count in counts if count is not None}


def to_store(model: Model, weights: Iterable[Weight], config: Config) -> frozenset[Span]:
    """The places of the weights that are to become int8 codes.

    Raises ModelError, before any work is done, if the model's parts could not be moved in the end.
    """
    if config.store == "same":
        return frozenset()
    chosen = [weight for weight in weights if storable(model, weight) is None]
    require_movable(model, chosen)
    return frozenset(weight.span for weight in chosen)


def _zipped(copy: PatchedCopy) -> int:
    with finished(copy) as new:
        return compressed_size(new.path, "zip9")


def score_drop(calibrated: CalibratedModel, scorer: Scorer | None) -> Callable[[], float] | None:
    """What the candidate in the copy loses of the user's own score, if there is one."""
    return None if scorer is None else lambda: scorer.compare(calibrated.copy.path).drop


def _without_running(
    model: Model, weights: Sequence[Weight], copy: PatchedCopy, cause: str, config: Config, progress: Progress
) -> Strategy:
    if config.clusters is not None and config.store == "same":
        cluster_weights(model, weights, copy, config, progress)
    else:
        cluster_blind(
            model,
            weights,
            copy,
            config.threads,
            stored=to_store(model, weights, config),
            clusters=fixed_counts(weights, config),
        )
    if config.clusters is not None:
        return Strategy(f"k-means on the weights alone ({cause})")
    return Strategy(f"every weight at the same signal-to-noise ratio ({cause})")


def usable_weights(model: Model, weights: Sequence[Weight], config: Config) -> dict[int, Weight]:
    """The weights to cluster, by their number; raises ConfigError if a pattern or a rule fits no weight at all."""
    for rule in config.rules:
        if not any(rule.fits(weight.tensor.name, weight.operators) for weight in weights):
            what = "operator" if rule.by_operator else "name"
            raise ConfigError(
                "recipe: {what} {pattern!r} fits no weight of {label}: inspect lists them",
                what=what,
                pattern=rule.pattern,
                label=model.label,
            )
    for pattern in config.keep:
        if not any(fnmatchcase(weight.tensor.name, pattern) for weight in weights):
            raise ConfigError(
                "<keep>: {pattern!r} fits no weight of {label}: inspect lists their names",
                pattern=pattern,
                label=model.label,
            )
    wanted = {
        number: weight
        for number, weight in enumerate(weights)
        if not config.keeps(weight.tensor.name, weight.operators)
    }
    return {number: weight for number, weight in wanted.items() if _is_usable(model, weight)}


def _is_usable(model: Model, weight: Weight) -> bool:
    """Whether there is anything to cluster: finite values, and more than one of them."""
    codes = weight.storage.decode(model.data[weight.span.start : weight.span.stop], weight.count)
    finite = not weight.storage.is_float or np.isfinite(codes).all()
    usable = bool(codes.size and finite and codes.min() < codes.max())
    model.forget(weight.span)  # after the last look: codes may be the very bytes of the file
    return usable
