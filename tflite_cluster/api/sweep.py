"""The rate-distortion curve of a model: what it weighs zipped against what it still computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from ..config import Config, Settings
from ..errors import ConfigError, InterpreterFailure, ModelError
from ..files import as_file, temporary_folder
from ..model.analysis import analyse
from ..model.patch import PatchedCopy
from ..model.read import open_model
from ..packing.sizes import compressed_size
from ..progress import Progress, no_progress
from ..run.session import open_session
from ..run.strategy import ask_finished, make_task, score_drop, silence_in_words, usable_weights
from ..search.calibrated import CalibratedModel, calibrate
from ..search.criterion import criterion, usual_criterion
from ..search.curve import Curve
from ..search.points import Point, Search
from ..search.quality import Quality
from ..search.run import search

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LEAST: Final = 0.05
_MOST: Final = 4.0
"""Multiples of the default's multiplier between which the curve is drawn."""

_MOST_POINTS: Final = 100


@dataclass(frozen=True)
class SweepPoint:
    """One place on the curve: `zip_bytes` of the whole file after zip -9, measured, and how well it does."""

    multiplier: float
    """Of all prices; more is smaller."""
    in_order: bool
    bits: float
    """Entropy per weight."""
    weight_sqnr: float
    """Of the weights, in dB, in the mean over all of them."""
    zip_bytes: int
    ratio: float
    """How many times smaller the zip is than that of the original."""
    quality: Quality
    is_default: bool
    """Whether it is what would be chosen without asking for a size."""

    @property
    def options(self) -> str:
        """What asks for the best model of no more than this size on the command line; nothing for the default."""
        return "" if self.is_default else f"--max-size {self.zip_bytes}"


@dataclass(frozen=True)
class Sweep:
    """The curve from the most faithful point to the smallest; `floor` is the original under other kernels, None if
    those do not run it."""

    source: str
    basis: str
    """Which samples it was measured on, in words."""
    synthetic: bool
    """Whether they are synthetic."""
    file_bytes: int
    zip_bytes: int
    """What the original takes after zip -9."""
    points: tuple[SweepPoint, ...]
    floor: Quality | None

    @property
    def default(self) -> SweepPoint | None:
        """The point that would be chosen; None if none tried was close enough to the original."""
        return next((point for point in self.points if point.is_default), None)


def sweep(
    source: str | Path | bytes, *, points: int = 8, progress: Progress = no_progress, **settings: Unpack[Settings]
) -> Sweep:
    """Measure the curve of size against fidelity, and write nothing.

    source: a .tflite file, or its content. points: how many to measure besides the default, 2 to 100. progress: called
    as progress(stage, done, total). settings: the fields of Config; a fidelity that is asked for takes the place of
    the default's, and what fixes size or values makes no sense here.

    Raises ConfigError, ModelError (the model is not safe to read, cannot be run, or has nothing to cluster) and
    DataError.
    """
    config = Config.of(settings)
    _refuse_what_has_no_curve(config, points)
    with as_file(source) as original:
        model = open_model(source if isinstance(source, bytes) else original)
        analysis = analyse(model)
        weights = usable_weights(analysis, config)
        if not weights:
            raise ModelError(f"{model.label}: it has no weight that could be clustered")
        with (
            threadpool_limits(1, "blas"),
            temporary_folder() as folder,
            PatchedCopy(model, folder / "clustered.tflite") as copy,
            open_session(analysis, original, config) as session,
        ):
            if isinstance(session, str):
                raise ModelError(f"{model.label}: there is no curve without running it: {session}")
            try:
                task = make_task(analysis, weights, original, copy, config, progress)
                calibrated = calibrate(
                    task, session.process, session.samples, session.kernels, session.effort, probes=session.probes
                )
                if calibrated.judge.is_silent:
                    raise ModelError(f"{model.label}: there is no curve: {silence_in_words(calibrated)}")
                usual = usual_criterion(calibrated) if config.has_gates else None
                is_good = criterion(config, calibrated, score_drop(calibrated, session.scorer))
                found = search(calibrated, is_good, usual, by_point=session.scorer is None)
                zipped = compressed_size(original, "zip9")
                weigh = partial(ask_finished, task, config, partial(compressed_size, coder=config.coder))
                measured = _measure(calibrated, weigh, found, points, zipped)
            except InterpreterFailure as failure:
                raise ModelError(f"{model.label}: it cannot be run: {failure.cause}") from failure
            return Sweep(
                source=model.label,
                basis=", ".join(sorted({samples.source for samples in session.samples.values()})),
                synthetic=calibrated.synthetic,
                file_bytes=model.size,
                zip_bytes=zipped,
                points=tuple(sorted(measured, key=lambda point: -point.zip_bytes)),
                floor=calibrated.known_floor,
            )


def _measure(
    calibrated: CalibratedModel, weigh: Callable[[], int], found: Search, points: int, zipped: int
) -> list[SweepPoint]:
    """Measure the chosen point, which the copy holds, and others around it. weigh: gives the copy's zipped size."""
    chosen, middle = found.chosen, found.chosen or found.points[-1]
    measured = [] if chosen is None else [_weighed(weigh(), chosen, zipped, is_default=True)]
    curve = Curve(calibrated, {number: price / middle.multiplier for number, price in found.prices.items()})
    for multiplier in middle.multiplier * np.geomspace(_LEAST, _MOST, points):
        point = curve.evaluate_in_order(float(multiplier)) if middle.in_order else curve.evaluate(float(multiplier))
        measured.append(_weighed(weigh(), point, zipped, is_default=False))
        calibrated.progress("Measuring the curve", len(curve.points), points)
    return measured


def _weighed(size: int, point: Point, zipped: int, *, is_default: bool) -> SweepPoint:
    return SweepPoint(
        multiplier=point.multiplier,
        in_order=point.in_order,
        bits=point.bits,
        weight_sqnr=point.weight_sqnr,
        zip_bytes=size,
        ratio=zipped / size,
        quality=point.quality,
        is_default=is_default,
    )


def _refuse_what_has_no_curve(config: Config, points: int) -> None:
    if not 2 <= points <= _MOST_POINTS:
        raise ConfigError(f"<points> must be between 2 and {_MOST_POINTS}, not {points}")
    for name in ("check", "run"):
        if not getattr(config, name):
            raise ConfigError(f"a curve compares models that are run: <+{name}>")
    config.refuse(("clusters", "granularity", "chosen", "max_size"), "a curve shows all sizes")
    config.refuse(("force", "measure", "coders", "benchmark", "base"), "a curve is measured, and writes nothing")
    if config.metric is not None and config.max_drop is None:
        raise ConfigError("a curve uses <metric> only with <max_drop>: give <max_drop> too, or leave out <metric>")
