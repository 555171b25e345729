"""The model and its samples in the interpreter's process, for calibration and for the check, or why that cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from ..calibration.effort import BUDGETS, Budget, Effort, measured
from ..calibration.observability import Running, find_kernels
from ..calibration.ranges import guess_range
from ..calibration.variation import with_varying_outputs
from ..config import Config, Data
from ..errors import ConfigError, DataError, InterpreterFailure
from ..interpreter import worker
from ..interpreter.interface import ModelInterface
from ..interpreter.process import InterpreterProcess, Limits
from ..interpreter.runtime import Kernels
from ..model.analysis import Analysis
from ..samples.given import Reading, prepare
from ..samples.hints import input_hints
from ..samples.samples import Samples
from ..samples.synthetic import gather_samples, plain_noises, probe_samples, synthetic_count
from .scoring import Scorer

_BASE_MEMORY: Final = 4 << 30
_MEMORY_PER_BYTE: Final = 8
_BASE_SECONDS: Final = 120.0
_SECONDS_PER_BYTE: Final = 1e-6
_SIDECAR: Final = ".samples.npz"
"""Samples that lie beside MODEL.tflite as MODEL.samples.npz are used without being asked for."""


@dataclass(frozen=True)
class Session:
    """What calibration and the check work with."""

    process: InterpreterProcess
    interface: ModelInterface
    samples: dict[str | None, Samples]
    probes: Mapping[str | None, Callable[[], Samples]] = field(default_factory=dict)
    """Functions that make probes, for signatures whose samples are plain synthetic ones."""
    scorer: Scorer | None = None
    """The user's own metric, if there is one."""
    kernels: Kernels = Kernels.DEFAULT
    """Those that run the model."""
    effort: Effort | None = None
    """What the model is worth, from how long a run takes."""
    not_run: Mapping[str, str] = field(default_factory=dict)
    """Signatures that cannot be run and have no samples here, and why, in words."""


@contextmanager
def open_session(analysis: Analysis, original: Path, config: Config) -> Iterator[Session | str]:
    """A session, or the reason why the model cannot be run, in words.

    Raises DataError if the user's samples cannot be read or do not fit, ConfigError if what is asked for takes labels.
    """
    if not config.run:
        yield "the model is not to be run"
        return
    size = analysis.model.size
    limits = Limits(
        timeout=config.timeout or _BASE_SECONDS + _SECONDS_PER_BYTE * size,
        memory=config.memory or _BASE_MEMORY + _MEMORY_PER_BYTE * size,
    )
    given = config.data if config.data is not None else samples_beside(original)
    with InterpreterProcess(limits) as process:
        try:
            session = _prepared(process, analysis, original, config, given)
        except InterpreterFailure as failure:
            yield f"the original model cannot be run: {failure.cause}"
            return
        except DataError as error:
            if given is not None:
                raise
            yield str(error)
            return
        _refuse_what_needs_labels(config, session.samples.values())
        yield session


def _prepared(
    process: InterpreterProcess, analysis: Analysis, original: Path, config: Config, given: Data | None
) -> Session:
    """The kernels that run the model, its samples and what it is worth."""
    model = analysis.model
    interface = _describe(process, original)
    hints = dict(input_hints(model))
    if given is None:
        samples = gather_samples(interface, None, hints, 1, config.seed)
    else:
        data, labels = prepare(given, _reading(config), model, interface)
        samples = gather_samples(interface, data, hints, synthetic_count(interface), config.seed, labels)
    first = {key: each.batch(0, 1) for key, each in samples.items()}
    running = find_kernels(process, original, first, config.threads)
    kernels = running.kernels
    run = [signature for signature in interface.signatures if signature.key not in running.failures]
    effort = _effort(process, analysis, original, first, running, BUDGETS[config.effort])
    if given is None:
        count = min(synthetic_count(interface), effort.synthetic_samples)
        with ThreadPoolExecutor(1) as meanwhile:
            made = {each.key: meanwhile.submit(plain_noises, each, count, config.seed) for each in run}
            for signature in run:
                known = hints.get(signature.key, {})
                guessed = guess_range(process, analysis, original, signature, known, config.threads, kernels)
                hints[signature.key] = {**known, **guessed}
            ready = {key: noises.result() for key, noises in made.items()}
        samples = gather_samples(interface, None, hints, count, config.seed, ready=ready)
    probes: dict[str | None, Callable[[], Samples]] = {}
    for signature in run:
        plain, known = samples[signature.key], hints.get(signature.key, {})
        if plain.synthetic:
            varying = with_varying_outputs(
                process, model, original, signature, plain, known, config.seed, config.threads, kernels
            )
            samples[signature.key] = varying
            if given is None and varying is plain:
                probes[signature.key] = partial(probe_samples, signature, known, effort.probes, config.seed)
    scorer = None
    if config.metric is not None:
        scorer = Scorer(config.metric, original, process, interface, config.threads, kernels)
    return Session(
        process=process,
        interface=interface,
        samples={signature.key: samples[signature.key] for signature in run},
        probes=probes,
        scorer=scorer,
        kernels=kernels,
        effort=effort.of_invocations(max((each.invocations for each in samples.values()), default=1)),
        not_run={str(key): cause for key, cause in running.failures.items()},
    )


def _effort(
    process: InterpreterProcess,
    analysis: Analysis,
    original: Path,
    first: Mapping[str | None, Mapping[str, npt.NDArray[Any]]],
    running: Running,
    budget: Budget,
) -> Effort:
    """What the model is worth. first: a batch of one sample for each signature."""
    runs = [
        measured(process, original, key, sample, running.kernels)
        for key, sample in first.items()
        if key not in running.failures
    ]
    seconds = sum(each for each in runs if each is not None)
    return Effort.of(analysis.model, analysis.weights, seconds, budget)


def _describe(process: InterpreterProcess, original: Path) -> ModelInterface:
    """What the model takes and gives; under the first kernels that open it."""
    try:
        interface = process.call(worker.describe, original)
    except InterpreterFailure:
        interface = process.call(worker.describe, original, Kernels.DEFAULT)
    if not any(signature.outputs for signature in interface.signatures):
        raise InterpreterFailure("it has no outputs that could be compared")
    return interface


def _refuse_what_needs_labels(config: Config, samples: Iterable[Samples]) -> None:
    """Before the search, which could end only with a gate that cannot be measured."""
    gate = config.gates.by_metric
    if gate is not None and config.metric is None and all(each.labels is None for each in samples):
        raise ConfigError(
            f"<{gate.setting}> needs samples with the class of each: give <data> with labels, or a <metric>"
        )


def _reading(config: Config) -> Reading:
    labels = None if config.labels is None else Path(config.labels)
    return Reading(labels, config.numbers("mean"), config.numbers("std"))


def samples_beside(original: Path) -> Path | None:
    """The samples that lie beside a model under its name, if there are any."""
    path = original.with_name(original.stem + _SIDECAR)
    return path if os.path.isfile(path) else None  # noqa: PTH113  (which a name that is too long is not)
