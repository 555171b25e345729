"""This tool, in the ways in which people would use it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tflite_cluster

from ..method import Job, Method, Tool
from ..published import results_for
from ..subjects import Subject

_SOURCE = Path(tflite_cluster.__file__).parent


def version() -> str:
    """The package's version and a digest of its source, so that rows of other code are not taken for its own."""
    source = hashlib.sha256()
    for path in sorted(_SOURCE.rglob("*.py")):
        source.update(path.relative_to(_SOURCE).as_posix().encode() + path.read_bytes())
    return f"{tflite_cluster.__version__}+{source.hexdigest()[:12]}"


_METHODS = (
    Method("in place, without data"),
    Method("in place, with data", uses_data=True),
    Method("stored as int8, without data", {"store": "int8"}, float_only=True),
    Method("stored as int8, with data", {"store": "int8"}, uses_data=True, float_only=True),
    Method("in place, with data, fast", {"effort": "fast"}, uses_data=True),
    Method("16 values, with data", {"clusters": 16}, uses_data=True),
    Method("32 values, with data", {"clusters": 32}, uses_data=True),
)


def methods(subject: Subject) -> tuple[Method, ...]:
    """The usual ones, and one for each size that was published."""
    ratios = sorted({result.ratio for result in results_for(subject.published)})
    sizes = (Method(f"in place, with data, {ratio:.2f}x", {"max_size": f"{ratio:.4f}x"}, True) for ratio in ratios)
    return (*_METHODS, *sizes)


def run(job: Job) -> None:
    """Cluster with the package's own defaults."""
    tflite_cluster.cluster(job.model, job.output, data=job.data, force=False, **job.settings)


TOOL = Tool("this tool", 1, methods, run, version)
