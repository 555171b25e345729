"""A progress bar on the terminal, for stages that take longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..jobs import Progress, no_progress

_PATIENCE: Final = 1.0


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Give a function (stage, done, total) that draws on standard error, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    tasks: dict[str, TaskID] = {}
    begun: dict[str, float] = {}

    def show(stage: str, done: int, total: int) -> None:
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
