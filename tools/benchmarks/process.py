"""Work in a process of its own, with the time and memory that it takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TOOLS = Path(__file__).resolve().parent.parent
_POLL = 0.01
_QUIET = {"OMP_WAIT_POLICY": "passive", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Threads that wait do not spin, which would count as work on a busy machine."""


@dataclass(frozen=True)
class Spent:
    """What a process took.

    seconds: by the clock. processor: of all threads and of the processes it started, user and system. memory: the most
    bytes that the largest of these processes held at once.
    """

    seconds: float
    processor: float
    memory: int


class WorkFailedError(Exception):
    """The process ended badly; the message says why, in a line."""


def work(task: str, arguments: Mapping[str, Any], timeout: float) -> Spent:
    """Run a task of `benchmarks/worker.py`; raises WorkFailedError."""
    command = [sys.executable, "-m", "benchmarks.worker", task, json.dumps(dict(arguments))]
    paths = [str(_TOOLS.parent), str(_TOOLS), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | _QUIET
    with tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        status, usage = _wait(process, begin + timeout)
        seconds = time.monotonic() - begin
        if status is None:
            raise WorkFailedError(f"took longer than {timeout:.0f} seconds")
        if status:
            log.seek(0)
            raise WorkFailedError(_reason(log.read().decode(errors="replace"), status))
    return Spent(round(seconds, 2), round(usage.ru_utime + usage.ru_stime, 2), usage.ru_maxrss * _unit())


def _wait(process: subprocess.Popen[bytes], end: float) -> tuple[int | None, Any]:
    """Exit code and usage of a process; it is killed with all it started if it is not done at the end."""
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage
            if time.monotonic() > end:
                return None, None
            time.sleep(_POLL)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            process.wait()


def _unit() -> int:
    """Bytes that `ru_maxrss` counts in."""
    return 1 if sys.platform == "darwin" else 1024


def _reason(log: str, status: int) -> str:
    """The last line that names an exception."""
    if status < 0:
        return f"was ended by signal {-status}"
    found = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Exit)\b.*)$", log, re.MULTILINE)
    return found[-1][:300] if found else f"ended with code {status}"
