"""A progress bar on the terminal, for stages that take longer than a second."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Final

from ..progress import Plan, Progress, no_progress

_PATIENCE: Final = 1.0


@contextmanager
def progress_lines() -> Iterator[Progress]:
    """Give a function (stage, done, total) that writes a line of JSON to standard error as a stage begins and ends.

    A plan has a line of its own.
    """
    seen: set[str] = set()

    def tell(stage: str, done: int, total: int) -> None:
        if isinstance(stage, Plan):
            log_line(plan=stage)
        elif stage not in seen or done >= total:
            seen.add(stage)
            log_line(stage=stage, done=done, total=total)

    yield tell


def log_line(**content: object) -> None:
    """Write a line of JSON to standard error, with the time in UTC."""
    time_now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    print(json.dumps({"time": time_now, **content}), file=sys.stderr, flush=True)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give a function (stage, done, total) that draws on standard error, if that is a terminal; plans stay there."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Bar(*columns, console=console, transient=True)
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
