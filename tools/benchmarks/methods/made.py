"""Models that were made elsewhere, and are measured beside the others: those of training, above all."""

from __future__ import annotations

import shutil

from ..method import Job, Method, Tool
from ..subjects import Subject, digest


def methods(subject: Subject) -> tuple[Method, ...]:
    """One for each model that the subject names."""
    return tuple(
        Method(
            f"{made.tool}: {made.method}",
            {"hash": digest(made.path), "seconds": made.seconds},
            source=made.path.resolve(),
        )
        for made in subject.made
    )


def run(job: Job) -> None:
    """Copy it."""
    assert job.source is not None
    shutil.copyfile(job.source, job.output)


TOOL = Tool("made elsewhere", 6, methods, run, lambda: "")
