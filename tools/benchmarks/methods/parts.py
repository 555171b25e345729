"""What each part of this tool's method is worth: at one size, with that part left out, and with fewer samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tflite_cluster

from ..ablations import ABLATIONS, BY_NAME, without
from ..method import Job, Method, Tool
from ..subjects import Subject
from .this_tool import version

SAMPLES = (8, 32, 128, 500)


def methods(subject: Subject) -> tuple[Method, ...]:
    """None unless the subject names the size at which to compare."""
    size = subject.ablations
    if size is None:
        return ()
    parts = [each for each in ABLATIONS if not (each.of_integers and subject.is_float)]
    return (
        Method("everything", {"max_size": size}, True),
        *(Method(f"without: {each.name}", {"max_size": size, "without": each.name}, True) for each in parts),
        *(Method(f"{count} samples", {"max_size": size, "samples": count}, True) for count in SAMPLES),
        Method("synthetic samples", {"max_size": size}),
    )


def run(job: Job) -> None:
    """Cluster to the size, and write what comes out whatever it computes."""
    settings = dict(job.settings)
    left_out, count = settings.pop("without", None), settings.pop("samples", None)
    settings["check"] = False
    data = job.data if count is None else _first(job, count)
    if left_out is None:
        tflite_cluster.cluster(job.model, job.output, data=data, **settings)
        return
    with without(BY_NAME[left_out]):
        tflite_cluster.cluster(job.model, job.output, data=data, **settings)


def _first(job: Job, count: int) -> Path:
    """A file with the first samples only, and no labels."""
    assert job.data is not None
    with np.load(job.data) as samples:
        if len(samples["x"]) < count:
            raise ValueError(f"there are only {len(samples['x'])} samples")
        some = samples["x"][:count]
    path = job.output.with_name("some.npz")
    np.savez(path, x=some)
    return path


TOOL = Tool("parts of this tool", 10, methods, run, version)
