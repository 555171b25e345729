"""This tool, in the ways in which people would use it."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

import tflite_cluster
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model

from ..method import Job, Method, Tool
from ..published import Published, results_for
from ..subjects import Subject

_SOURCE = Path(tflite_cluster.__file__).parent


def version() -> str:
    """The package's version and a digest of its source, so that rows of other code are not taken for its own."""
    source = hashlib.sha256()
    for path in sorted(_SOURCE.rglob("*.py")):
        source.update(path.relative_to(_SOURCE).as_posix().encode() + path.read_bytes())
    return f"{tflite_cluster.__version__}+{source.hexdigest()[:12]}"


_WORDS = {"same": "in place", "int8": "stored as int8"}

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
    """The usual ones, one for each size that was published, and those that the subject asks for."""
    published = (like(each) for each in results_for(subject.published))
    asked = (
        Method(f"{_WORDS[store]}, with data, {size}", {"store": store, "max_size": size}, True, store != "same")
        for store, several in subject.sizes.items()
        for size in several
    )
    return (*_METHODS, *published, *asked)


def like(published: Published) -> Method:
    """What to compare a published result with: the same layers at as many values, or all layers at the same size."""
    if published.is_selective:
        name = f"in place, with data, last three convolutions at {published.values} values"
        return Method(name, {"clusters": published.values, "last_convolutions": 3}, uses_data=True)
    name = f"in place, with data, {published.ratio:.2f}x"
    return Method(name, {"max_size": f"{published.ratio:.4f}x"}, uses_data=True)


def _others(model: Path, count: int) -> list[str]:
    """Names of all weights but those of the last convolutions, as patterns."""
    weights = analyse(open_model(model)).weights
    convolutions = [weight for weight in weights if "CONV_2D" in weight.operators]
    convolutions.sort(key=lambda weight: weight.users[0].operator.index)
    return [glob.escape(weight.tensor.name) for weight in weights if weight not in convolutions[-count:]]


def run(job: Job) -> None:
    """Cluster with the package's own defaults."""
    settings = dict(job.settings)
    if count := settings.pop("last_convolutions", 0):
        settings["keep"] = _others(job.model, count)
    if {"clusters", "max_size"} & settings.keys():
        settings["check"] = False  # such a model may be ruined, and the row is to say how much
    tflite_cluster.cluster(job.model, job.output, data=job.data, **settings)


TOOL = Tool("this tool", 1, methods, run, version)
