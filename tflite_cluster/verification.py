"""The check of a run: samples for the model, both models in the interpreter's process, the gates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .calibration.hints import input_hints
from .calibration.synthetic import gather_samples
from .config import Config, Data
from .errors import DataError, InterpreterFailure
from .fidelity.check import check_fidelity
from .fidelity.verdict import Fidelity, judge
from .interpreter import worker
from .interpreter.process import InterpreterProcess, Limits
from .jobs import Progress
from .model.read import Model

_SYNTHETIC_SAMPLES: Final = 32
_BASE_MEMORY: Final = 4 << 30
_MEMORY_PER_BYTE: Final = 8
_BASE_SECONDS: Final = 120.0
_SECONDS_PER_BYTE: Final = 1e-6
SIDECAR: Final = ".samples.npz"
"""Samples that lie beside MODEL.tflite as MODEL.samples.npz are used without being asked for."""


def check(model: Model, original: Path, clustered: Path, config: Config, progress: Progress) -> Fidelity:
    """Compare both models on the user's samples, or on synthetic ones, and judge the gates.

    Raises DataError if the samples cannot be read or do not fit.
    """
    fidelity = _compare(model, original, clustered, config, progress) if config.check else Fidelity("skipped")
    return judge(fidelity, config.min_agreement, config.min_sqnr, config.max_drop)


def _compare(model: Model, original: Path, clustered: Path, config: Config, progress: Progress) -> Fidelity:
    with InterpreterProcess(_limits(model, config)) as process:
        try:
            interface = process.call(worker.describe, original)
        except InterpreterFailure as failure:
            return Fidelity("not checked", f"the original model cannot be run: {failure.cause}")
        data = config.data if config.data is not None else _beside(original)
        try:
            samples = gather_samples(interface, data, input_hints(model), _SYNTHETIC_SAMPLES, config.seed)
        except DataError as error:
            if data is not None:
                raise
            return Fidelity("not checked", str(error))
        return check_fidelity(
            process,
            original,
            clustered,
            interface,
            samples,
            threads=config.threads,
            classes=config.min_agreement is not None,
            progress=progress,
        )


def _limits(model: Model, config: Config) -> Limits:
    return Limits(
        timeout=config.timeout or _BASE_SECONDS + _SECONDS_PER_BYTE * model.size,
        memory=config.memory or _BASE_MEMORY + _MEMORY_PER_BYTE * model.size,
    )


def _beside(original: Path) -> Data | None:
    path = original.with_name(original.stem + SIDECAR)
    return path if path.is_file() else None
