"""What the child process measures of a model that it runs: called through `InterpreterProcess.call`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from .runtime import Kernels, runtime_module
from .worker import each_run, open_model

_ROUNDS: Final = 5


def time_runs(
    path: Path, key: str | None, sample: Mapping[str, npt.NDArray[Any]], threads: int, seconds: float
) -> float:
    """Seconds that one run takes, in the mean over as many as fit into `seconds`, after one that does not count."""
    model = open_model(path, Kernels.DEFAULT, threads)
    model.run(key, sample)
    begun, runs = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds or not runs:
        model.run(key, sample)
        runs += 1
    return (time.perf_counter() - begun) / runs


def processor_seconds(path: Path, key: str | None, batch: Mapping[str, npt.NDArray[Any]], kernels: Kernels) -> float:
    """Seconds of one processor that running a batch takes in a single thread: the least of several times.

    Unlike the time on the clock, it hardly depends on what else the machine does; several threads wait for each other
    by counting.
    """
    model = open_model(path, kernels, threads=1)
    times: list[float] = []
    for _ in range(_ROUNDS + 1):
        begun = time.process_time()
        for _ in each_run(model, key, batch):
            pass
        times.append(time.process_time() - begun)
    return min(times[1:])  # the first one also makes ready


def peak_memory() -> int | None:
    """The most bytes of memory that this process has had, mapped files included; None where the system does not say.

    The interpreter's library is loaded for that, so that it counts before any model is opened too.
    """
    runtime_module()
    if sys.platform == "linux":  # where ru_maxrss begins with what the parent had
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
