"""Samples as people have them, made small, and ways to load them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tflite_cluster import Result, cluster
from tflite_cluster.interpreter.interface import ModelInterface, Signature, TensorSpec
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.samples.given import Reading, prepare
from tflite_cluster.samples.load import load_samples
from tflite_cluster.samples.samples import Samples

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
EXAMPLE = ROOT / "examples" / "digits.tflite"
SCHEMA = json.loads((ROOT / "schema" / "report.schema.json").read_text(encoding="utf-8"))
COUNT = 30


def spec(shape: tuple[int, ...], dtype: Any = np.float32, scale: float = 0.0, zero: int = 0) -> TensorSpec:
    return TensorSpec("x", 0, tuple(abs(size) for size in shape), shape, np.dtype(dtype), scale, zero)


def load(data: Any, of: TensorSpec, model: Model | None = None, **reading: Any) -> Samples:
    outputs = tuple(replace(spec((1, count)), name=f"scores of {count}") for count in (2, 10))
    interface = ModelInterface((Signature(None, (of,), outputs),))
    prepared, labels = prepare(data, Reading(**reading), model or open_model(EXAMPLE), interface)
    return load_samples(prepared, interface, labels)[None]


def batch(samples: Samples) -> npt.NDArray[Any]:
    return samples.batch(0, samples.count)["x"]


def save(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)


def run(**given: Any) -> Result:
    return cluster(EXAMPLE, clusters=given.pop("clusters", 16), measure=False, force=True, **given)
