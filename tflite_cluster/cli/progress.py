"""The plan of a run, and a progress bar on the terminal for stages that take longer than a second."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Final

from ..progress import Plan, Progress, no_progress

_PATIENCE: Final = 1.0
"""Seconds that a stage takes before it has a bar."""

_EVERY: Final = 9.0
"""Seconds after which a stage that goes on has another line, so that there is one every 10."""

_SPEED_SECONDS: Final = 600.0
"""Seconds whose steps the time left is told from."""


@contextmanager
def progress_lines(every: float = _EVERY) -> Iterator[Progress]:
    """Give a function (stage, done, total) that writes lines of JSON to standard error.

    A plan has a line of its own. A stage has one as it begins, one as it ends, and one every so many seconds in
    between, also while a single step takes longer.
    """
    lines = _Lines(every)
    over = threading.Event()
    thread = threading.Thread(target=lines.repeat_until, args=(over,), daemon=True)
    thread.start()
    try:
        yield lines.tell
    finally:
        over.set()
        thread.join()


class _Lines:
    """The stage that goes on, and when a line about it was last written."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._state: tuple[str, int, int] | None = None
        self._ended: str | None = None
        self._written = 0.0

    def tell(self, stage: str, done: int, total: int) -> None:
        """Called as Progress is."""
        if isinstance(stage, Plan):
            log_line(plan=stage)
            return
        with self._lock:
            if self._state is not None and self._state[0] != stage:
                self._write()  # the end of a stage that came to one early
                self._state = None
            elif self._state is None and (stage, done) == (self._ended, total):
                return
            begins, self._state = self._state is None, (stage, done, total)
            if begins or done >= total or self._is_due:
                self._write()
            if done >= total:
                self._state, self._ended = None, stage

    def repeat_until(self, over: threading.Event) -> None:
        """Write about a stage again where nothing was told of it for so long."""
        while not over.wait(min(self._every / 10, 1.0)):
            with self._lock:
                if self._is_due:
                    self._write()

    @property
    def _is_due(self) -> bool:
        return self._state is not None and time.monotonic() - self._written >= self._every

    def _write(self) -> None:
        assert self._state is not None
        stage, done, total = self._state
        log_line(stage=stage, done=done, total=total)
        self._written = time.monotonic()


def log_line(**content: object) -> None:
    """Write a line of JSON to standard error, with the time in UTC."""
    time_now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    print(json.dumps({"time": time_now, **content}), file=sys.stderr, flush=True)


def _print_plan(stage: str, done: int, total: int) -> None:  # noqa: ARG001  (called as Progress is)
    if isinstance(stage, Plan):
        with suppress(OSError):  # nobody reads, which is no reason to stop
            print(f"Plan: {stage}", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give a function (stage, done, total) that draws on standard error; plans stay there.

    Where standard error is a log instead of a terminal, only plans are written to it.
    """
    if quiet or not sys.stderr.isatty():
        yield no_progress if quiet else _print_plan
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Bar(*columns, console=console, transient=True, speed_estimate_period=_SPEED_SECONDS)
    tasks: dict[str, TaskID] = {}
    begun: dict[str, float] = {}

    def show(stage: str, done: int, total: int) -> None:
        if isinstance(stage, Plan):
            console.print(f"Plan: {stage}", style="dim", markup=False, highlight=False)
            return
        now = time.monotonic()
        if now - begun.setdefault(stage, now) < _PATIENCE:
            return
        if stage not in tasks:
            bar.start()
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
