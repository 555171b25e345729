"""What can be observed of a model: under which kernels it runs, and under which its tensors can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from ..errors import InterpreterFailure, InterpreterTimeout
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..interpreter.worker import try_run

_KERNELS: Final = (Kernels.DEFAULT, Kernels.NO_DELEGATE, Kernels.REFERENCE)
"""In the order in which they are tried."""

Sample = Mapping[str, npt.NDArray[Any]]
"""A batch of one sample."""


@dataclass(frozen=True)
class Running:
    """The kernels that run most signatures of a model, and why they do not run the others, in words by signature."""

    kernels: Kernels
    failures: Mapping[str | None, str]


@dataclass(frozen=True)
class Observability:
    """How the tensors of one signature are read.

    run: the kernels that candidates are judged under. keeps: whether all tensors can be read under those, or only the
    outputs. layers: the kernels under which all tensors can be read; None if there are none. cause: what the
    interpreter said where `keeps` is not true, in words.
    """

    run: Kernels = Kernels.DEFAULT
    keeps: bool = True
    layers: Kernels | None = Kernels.DEFAULT
    cause: str = ""


def find_kernels(
    process: InterpreterProcess, path: Path, samples: Mapping[str | None, Sample], threads: int
) -> Running:
    """Run one sample of each signature under the default kernels, or under others if some signatures need those.

    Raises InterpreterFailure if none runs any signature.
    """
    found: list[Running] = []
    for kernels in _KERNELS:
        causes = {
            key: _failure(process, [path], key, sample, kernels, False, threads) for key, sample in samples.items()
        }
        running = Running(kernels, {key: str(cause) for key, cause in causes.items() if cause is not None})
        found.append(running)
        if not running.failures or any(isinstance(cause, InterpreterTimeout) for cause in causes.values()):
            break
    best = min(found, key=lambda running: len(running.failures))
    if samples and len(best.failures) == len(samples):
        raise InterpreterFailure(next(iter(found[0].failures.values())))
    return best


def find_observability(
    process: InterpreterProcess, paths: Sequence[Path], key: str | None, sample: Sample, run: Kernels, threads: int
) -> Observability:
    """Find out on one sample how the tensors of a signature can be read, in all the files at once.

    run: the kernels that run it.
    """
    first = ""
    for kernels in sorted(_KERNELS, key=lambda kernels: kernels != run):
        cause = _failure(process, paths, key, sample, kernels, True, threads)
        if cause is None:
            return Observability(run, kernels == run, kernels, first)
        first = first or cause.cause
        if isinstance(cause, InterpreterTimeout):
            break
    return Observability(run, False, None, first)


def _failure(
    process: InterpreterProcess,
    paths: Sequence[Path],
    key: str | None,
    sample: Sample,
    kernels: Kernels,
    keeps: bool,
    threads: int,
) -> InterpreterFailure | None:
    try:
        for path in paths:
            process.call(try_run, path, key, sample, kernels, threads, keeps)
    except InterpreterFailure as failure:
        process.close()  # models that are still open would take the memory of the next try
        return failure
    return None
