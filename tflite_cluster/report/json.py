"""The result for programs, in the form that schema/report.schema.json describes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from ..config import Config, Data
from ..fidelity.accuracy import Accuracy
from ..fidelity.verdict import Fidelity
from ..files import write_text
from ..packing.coders import CODERS
from ..result import Result, SizePair, Sizes, Strategy, TensorResult
from ..search.points import Point, Search
from ..search.quality import Quality
from ..version import __version__

FORMAT_VERSION = 1


def to_json(result: Result, written: bool) -> dict[str, Any]:
    """The result as JSON types; `null` stands for what was not measured, and for a ratio that is infinite."""
    report = {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        "source": result.source,
        "destination": None if result.destination is None else str(result.destination),
        "written": written,
        "config": _config(result.config),
        "sizes": None if result.sizes is None else _sizes(result.sizes),
        "strategy": _strategy(result.strategy),
        "tensors": [_tensor(number, tensor, result.strategy.search) for number, tensor in enumerate(result.tensors)],
        "fidelity": fidelity_json(result.fidelity),
        "benchmark": None if result.benchmark is None else dataclasses.asdict(result.benchmark),
        "update": None if result.update is None else dataclasses.asdict(result.update),
        "if_stored_as_int8": None if result.if_stored is None else dataclasses.asdict(result.if_stored),
    }
    return {name: plain(part) for name, part in report.items()}


def write_json(result: Result, path: Path, written: bool) -> None:
    """Write the report as a file; raises OutputError if that cannot be done."""
    text = json.dumps(to_json(result, written), indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    write_text(path, text)


def _config(config: Config) -> dict[str, Any]:
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if config.data is not None:
        settings["data"] = _data(config.data)
    if config.labels is not None:
        settings["labels"] = str(config.labels)
    if config.base is not None:
        settings["base"] = str(config.base)
    settings["mean"], settings["std"] = config.numbers("mean"), config.numbers("std")
    settings["rules"] = [dataclasses.asdict(rule) for rule in config.rules]
    settings["chosen"] = config.chosen is not None
    if callable(config.metric):
        settings["metric"] = getattr(config.metric, "__name__", "a function")
    return settings


def _data(data: Data) -> str:
    if callable(data):
        return getattr(data, "__name__", "a function")
    return str(data) if isinstance(data, str | Path) else "arrays"


def _sizes(sizes: Sizes) -> dict[str, Any]:
    pairs: dict[str, SizePair | None] = {"file": sizes.file, **{name: sizes.packed.get(name) for name in CODERS}}
    return {
        name: None if pair is None else {"before": pair.before, "after": pair.after, "ratio": pair.ratio}
        for name, pair in pairs.items()
    }


def _strategy(strategy: Strategy) -> dict[str, Any]:
    search = strategy.search
    if search is None:
        return {"words": strategy.words, "left_out": strategy.left_out, "search": None}
    found = {
        "chosen": None if search.chosen is None else _point(search.chosen),
        "floor": None if search.floor is None else quality_json(search.floor),
        "observed": search.observed,
        "points": [_point(point) for point in search.points],
    }
    return {"words": strategy.words, "left_out": strategy.left_out, "search": found}


def _point(point: Point) -> dict[str, Any]:
    return {
        "multiplier": point.multiplier,
        "in_order": point.in_order,
        "bits": point.bits,
        "weight_sqnr_db": point.weight_sqnr,
        **quality_json(point.quality),
    }


def quality_json(quality: Quality) -> dict[str, float | None]:
    """How well a candidate does."""
    return {
        "distortion": quality.distortion,
        "expected_loss_points": quality.expected_loss,
        "agreement": quality.agreement,
        "sqnr_db": quality.sqnr,
        "drop_points": quality.drop,
        "drop_standard_error_points": None if quality.accuracy is None else quality.accuracy.standard_error_points,
    }


def _tensor(number: int, tensor: TensorResult, search: Search | None) -> dict[str, Any]:
    searched = search if tensor.role == "weight" else None
    chosen = None if searched is None else searched.chosen
    return {
        "name": tensor.name,
        "role": tensor.role,
        "operator": tensor.operator or None,
        "type": tensor.type,
        "shape": tensor.shape,
        "bytes": tensor.bytes,
        "clustered": tensor.clustered,
        "reason": tensor.reason,
        "bits_as_int8": tensor.bits_as_codes,
        "stored": None if tensor.stored is None else dataclasses.asdict(tensor.stored),
        "keeps_type": tensor.keeps_type,
        "values": _before_and_after(tensor.values_before, tensor.values_after),
        "sqnr_db": tensor.sqnr,
        "bits_per_weight": _before_and_after(tensor.bits_before, tensor.bits_after),
        "sensitivity": None if searched is None else searched.sensitivities.get(number),
        "feedback_gain_db": None if chosen is None else chosen.gains.get(number),
        "price": None if searched is None else searched.prices.get(number),
        "span": None if tensor.span is None else dataclasses.asdict(tensor.span),
        "scale_spans": [dataclasses.asdict(span) for span in tensor.scales],
    }


def _before_and_after(before: float | None, after: float | None) -> dict[str, float | None] | None:
    return None if before is None else {"before": before, "after": after}


def fidelity_json(fidelity: Fidelity) -> dict[str, Any]:
    """The verdict on fidelity."""
    return {
        "verdict": fidelity.verdict,
        "silence": fidelity.silence,
        **dataclasses.asdict(fidelity),
        "accuracy": None if fidelity.accuracy is None else _accuracy(fidelity.accuracy),
        "passed": fidelity.passed,
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "output": accuracy.output,
        "samples": accuracy.samples,
        "before": accuracy.before,
        "after": accuracy.after,
        "lost": accuracy.lost,
        "gained": accuracy.gained,
        "drop_points": accuracy.drop_points,
        "standard_error_points": accuracy.standard_error_points,
        "within_chance": accuracy.is_within_chance,
        "doubt": accuracy.doubt,
    }


def plain(value: Any) -> Any:
    """Only what JSON knows: no infinity or NaN (null instead), no tuples."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
