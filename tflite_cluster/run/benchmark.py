"""Speed and memory of both models, in one paired run."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Final

from ..errors import InterpreterFailure
from ..interpreter.process import InterpreterProcess
from ..interpreter.timing import peak_memory, time_runs
from ..progress import Progress
from ..result import Benchmark
from .session import Session

_ROUNDS: Final = 9
_ROUND_SECONDS: Final = 0.3


def benchmark(
    session: Session | str, original: Path, clustered: Path, threads: int, progress: Progress
) -> Benchmark | None:
    """Run both models by turns, each in a process of its own; None if they cannot be run.

    threads: of the interpreter. The first sample of the first signature is what they are run on.
    """
    if isinstance(session, str):
        return None
    key, samples = next(iter(session.samples.items()))
    sample = samples.first_inputs()
    limits = session.process.limits
    with InterpreterProcess(limits) as one, InterpreterProcess(limits) as other:
        pair = ((one, original), (other, clustered))
        seconds: tuple[list[float], list[float]] = ([], [])
        try:
            idle = [process.call(peak_memory) for process, _ in pair]
            for number in range(_ROUNDS):
                for (process, path), found in zip(pair, seconds, strict=True):
                    found.append(process.call(time_runs, path, key, sample, threads, _ROUND_SECONDS))
                progress("Measuring speed", number + 1, _ROUNDS)
            peaks = [process.call(peak_memory) for process, _ in pair]
        except InterpreterFailure:
            return None
    ratios = [after / before for before, after in zip(*seconds, strict=True)]
    before, after = (None if most is None else most - (least or 0) for most, least in zip(peaks, idle, strict=True))
    return Benchmark(
        seconds_before=statistics.median(seconds[0]),
        seconds_after=statistics.median(seconds[1]),
        ratio=statistics.median(ratios),
        memory_before=before,
        memory_after=after,
        rounds=_ROUNDS,
        threads=threads,
    )
