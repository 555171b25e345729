"""Which way a model is clustered: to a count or to a fidelity, with the interpreter's help or without."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np

from .config import Config
from .errors import ConfigError, InterpreterFailure
from .jobs import Progress, cluster_weights
from .model.patch import PatchedCopy
from .model.read import Model
from .model.select import Weight
from .model.storing.copy import finished
from .model.storing.storable import storable
from .model.storing.store import require_movable
from .model.verify import Span
from .packing.sizes import compressed_size
from .result import Strategy
from .rules import Chosen
from .scoring import Scorer
from .search.bench import Bench, calibrate, cluster_blind
from .search.clusterer import Job
from .search.points import Point
from .search.quality import Quality
from .search.run import repeat, search, search_size
from .session import Session

_RISK: Final = 0.3
"""Points of top-1 accuracy that may be at risk by default, beyond what rounding alone puts at risk."""

_CONTRAST: Final = 20.0
_CONTRAST_SYNTHETIC: Final = 26.0
"""dB that outputs which are no class scores keep by default."""

_SCORES_SYNTHETIC: Final = 20.5
"""dB that class scores keep by default on made-up inputs. Those lie anywhere between the classes, so that points at
risk on them say less than how large errors are beside what tells inputs apart, which is much the same as on real ones.
"""

_WEIGHT_SQNR_SYNTHETIC: Final = 20.0
"""dB that the weights keep in the mean then, should made-up inputs be far from what the model was made for."""

_FLOAT_SQNR_CAREFUL: Final = 26.0
_RESCALED_SQNR_CAREFUL: Final = 28.0
_INTEGER_SQNR_CAREFUL: Final = 34.0
"""dB of the weights from which on made-up inputs are believed as real ones are: of floats, of integers that get other
scales, and of integers that keep theirs, among which many are exact."""


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
        return Strategy("k-means on the weights alone")
    if not usable:
        return Strategy("no weight that could be clustered")
    cause = session if isinstance(session, str) else ""
    if isinstance(session, Session):
        try:
            return _calibrated(model, usable, original, copy, session, config, progress)
        except InterpreterFailure as failure:
            cause = f"calibration failed: {failure.cause}"
            for span in copy.spans:  # also those of biases
                copy.restore(span)
    return _without_running(model, list(usable.values()), copy, cause, config, progress)


def _calibrated(
    model: Model,
    weights: dict[int, Weight],
    original: Path,
    copy: PatchedCopy,
    session: Session,
    config: Config,
    progress: Progress,
) -> Strategy:
    bench = calibrate(
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
    )
    basis = ", ".join(sorted({samples.source for samples in session.samples.values()}))
    if config.clusters is not None:
        bench.to_count()
        return Strategy(f"calibrated on {basis}")
    if config.chosen is not None:
        found = repeat(bench, _prices(model, bench, config.chosen), config.chosen.in_order)
        return Strategy(f"as a search on {basis} chose before", found)
    if config.max_size is not None:
        most = config.size_limit(compressed_size(original, "zip9"))
        found = search_size(bench, lambda: most is not None and _zipped(copy) <= most)
    else:
        usual = usual_criterion(bench) if config.has_gates else None
        found = search(bench, criterion(config, bench, session.scorer), usual)
        if found.chosen is None and not config.has_gates:
            bench.restore()
            return Strategy(f"searched on {basis}; nothing tried was close enough to the original", found)
    return Strategy(f"searched on {basis}", found)


def _prices(model: Model, bench: Bench, chosen: Chosen) -> dict[int, float]:
    """The prices of a recipe; raises ConfigError if they are not for this model, or for other weights of it."""
    if hashlib.sha256(model.data).hexdigest() != chosen.model:
        raise ConfigError(f"{model.label}: the recipe's prices were chosen for another model: leave out its [chosen]")
    if chosen.prices.keys() != bench.jobs.keys():
        raise ConfigError(f"{model.label}: the recipe's prices are not for the same weights: leave out its [chosen]")
    return {number: chosen.prices[number] for number in bench.jobs}


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


def criterion(config: Config, bench: Bench, scorer: Scorer | None) -> Callable[[Point], bool]:
    """What a candidate must keep: the user's gates, or else what it usually must."""
    if scorer is not None and config.max_drop is not None:
        most = config.max_drop  # in units of the score, which the candidate in the copy gets
        return lambda point: _holds_gates(point.quality, config) and scorer.compare(bench.copy.path).drop <= most
    if config.has_gates:
        return lambda point: _holds_gates(point.quality, config)
    return usual_criterion(bench)


def usual_criterion(bench: Bench) -> Callable[[Point], bool]:
    """What a candidate must keep by default: little risk of losing accuracy beyond what noise does."""
    return _is_like_synthetic(bench) if bench.synthetic else _is_like_real(bench.floor)


def _is_like_real(floor: Quality, contrast: float = _CONTRAST) -> Callable[[Point], bool]:
    """What real samples must show; contrast: dB of outputs that are no class scores.

    Integer activations are rounded anew by any change at all. That costs nothing: the original is as far off from what
    it was made of. Variances add, and risk grows with variance, so that what rounding does comes on top.
    """
    risk, contrast = _RISK + (floor.risk or 0.0), min(contrast, floor.contrast)

    def is_good(point: Point) -> bool:
        quality = point.quality
        return quality.contrast >= contrast if quality.risk is None else quality.risk <= risk

    return is_good


def _is_like_synthetic(bench: Bench) -> Callable[[Point], bool]:
    """What made-up samples must show: what real ones must, with weights close to what they were; or, of class scores,
    small errors with what rounding does on top likewise.
    """
    careful, scores = _careful_sqnr(bench), bench.floor.risk is not None
    is_like_real = _is_like_real(bench.floor, _CONTRAST_SYNTHETIC)
    contrast = -10 * math.log10(10 ** (-_SCORES_SYNTHETIC / 10) + 10 ** (-bench.floor.contrast / 10))

    def is_good(point: Point) -> bool:
        if scores and point.quality.contrast >= contrast and point.weight_sqnr >= _WEIGHT_SQNR_SYNTHETIC:
            return True
        return point.weight_sqnr >= careful and is_like_real(point)

    return is_good


def _careful_sqnr(bench: Bench) -> float:
    """The mean, over all weights, of what each kind keeps with care."""
    sizes = [job.matrix.codes.size for job in bench.jobs.values()]
    return float(np.average([_careful(job) for job in bench.jobs.values()], weights=sizes))


def _careful(job: Job) -> float:
    if job.matrix.is_float:
        return _FLOAT_SQNR_CAREFUL
    return _INTEGER_SQNR_CAREFUL if job.vectors is None else _RESCALED_SQNR_CAREFUL


def _holds_gates(quality: Quality, config: Config) -> bool:
    """Whether the samples seen hold all gates; labels that are missing leave max_drop to the expected loss."""
    agreement = config.min_agreement is None or (quality.agreement or 0.0) * 100 >= config.min_agreement
    sqnr = config.min_sqnr is None or quality.sqnr >= config.min_sqnr
    losses = [loss for loss in (quality.drop, quality.risk) if loss is not None]
    drop = config.max_drop is None or config.metric is not None or max(losses, default=math.inf) <= config.max_drop
    return agreement and sqnr and drop


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
            raise ConfigError(f"recipe: {what} {rule.pattern!r} fits no weight of {model.label}: inspect lists them")
    for pattern in config.keep:
        if not any(fnmatchcase(weight.tensor.name, pattern) for weight in weights):
            raise ConfigError(f"keep: {pattern!r} fits no weight of {model.label}: inspect lists their names")
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
