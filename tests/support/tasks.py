"""A task for the search: all weights of a model, written with the codes that they have."""

from __future__ import annotations

from pathlib import Path

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import Model
from tflite_cluster.progress import no_progress
from tflite_cluster.search.task import Task
from tflite_cluster.targets.same import TARGET


def task_of(model: Model, path: Path, copy: PatchedCopy) -> Task:
    """Cluster into the copy, with one thread."""
    analysis = analyse(model)
    weights = dict(enumerate(analysis.weights))
    encode = TARGET.encode(analysis, weights.values())
    return Task(analysis, path, copy, weights, encode, clusters={}, seed=0, threads=1, progress=no_progress)
