"""The models to measure, with the samples that methods may see and those that they are judged on.

A list is a TOML or JSON file with a table `model` for each; paths are relative to the file:

    [[model]]
    path = "mobilenet_v1.tflite"
    data = "calibration.npz"      # array x, (samples, ...): what methods may calibrate on; may be left out
    labelled = "evaluation.npz"   # arrays x and y: what they are judged on
    name = "MobileNetV1"          # in tables; by default the file's name
    first_class = 1               # which output stands for class 0 of y; by default 0
    published = "MobileNetV1"     # the model's name in published.toml, if results with retraining were published
    methods = ["*"]               # patterns of "tool/method"; by default all
    sizes = { same = ["6x"], int8 = ["8x"] }  # what to ask this tool for besides, by the kind of storing
    ablations = "5x"              # the size at which to leave parts of the method out; by default that is not done

    [[model.made]]                # a model that was made elsewhere, such as by training; any number of these
    tool = "TFMOT, retrained"
    method = "32 values"
    path = "clustered.tflite"
    seconds = 120.0               # that making it took, of processor time
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Made:
    """A model that was made elsewhere, with the processor time that took."""

    tool: str
    method: str
    path: Path
    seconds: float


@dataclass(frozen=True)
class Subject:
    """A model with its samples."""

    path: Path
    labelled: Path
    data: Path | None = None
    name: str = ""
    first_class: int = 0
    published: str | None = None
    methods: tuple[str, ...] = ("*",)
    sizes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ablations: str | None = None
    made: tuple[Made, ...] = ()

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.name or self.path.stem

    @cached_property
    def hash(self) -> str:
        """Of the model's bytes."""
        return digest(self.path)

    @cached_property
    def is_float(self) -> bool:
        """Whether more of its weights are floats than not."""
        weights = analyse(open_model(self.path)).weights
        return 2 * sum(weight.count for weight in weights if weight.storage.is_float) > sum(w.count for w in weights)

    @cached_property
    def samples(self) -> str:
        """Of the bytes of both files of samples."""
        return digest(self.labelled) + ("" if self.data is None else digest(self.data))


def digest(path: Path) -> str:
    """The first 16 digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_list(path: Path) -> list[Subject]:
    """The models of a TOML or JSON file; raises SystemExit if it is not such a list."""
    text = path.read_text(encoding="utf-8")
    content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    if not isinstance(content, Mapping) or not content.get("model"):
        raise SystemExit(f"{path}: there is no table [[model]] in it")
    return [_subject(path, entry) for entry in content["model"]]


def _subject(path: Path, entry: Mapping[str, Any]) -> Subject:
    known = {field.name for field in fields(Subject)}
    if unknown := set(entry) - known:
        raise SystemExit(f"{path}: no key of a model is called {', '.join(sorted(unknown))}")
    if missing := {"path", "labelled"} - set(entry):
        raise SystemExit(f"{path}: a model lacks {' and '.join(sorted(missing))}")
    given = dict(entry)
    for key in ("path", "labelled", "data"):
        if key in given:
            given[key] = path.parent / given[key]
            if not given[key].is_file():
                raise SystemExit(f"{path}: there is no file {given[key]}")
    given["made"] = tuple(Made(**made | {"path": path.parent / made["path"]}) for made in given.get("made", ()))
    given["methods"] = tuple(given.get("methods", ("*",)))
    return Subject(**given)
