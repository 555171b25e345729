"""The result for programs, in the form that schema/report.schema.json describes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OutputError
from ..result import Result, SizePair

FORMAT_VERSION = 1


def to_json(result: Result, written: bool) -> dict[str, Any]:
    """The result as JSON types; `null` stands for what was not measured, and for a ratio that is infinite."""
    config = {field.name: getattr(result.config, field.name) for field in dataclasses.fields(result.config)}
    config["data"] = None if config["data"] is None else _data_name(config["data"])
    return {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        "source": result.source,
        "destination": None if result.destination is None else str(result.destination),
        "written": written,
        "config": config,
        "sizes": None if result.sizes is None else _sizes(result),
        "tensors": [_plain(dataclasses.asdict(tensor)) for tensor in result.tensors],
        "fidelity": _plain({**dataclasses.asdict(result.fidelity), "passed": result.fidelity.passed}),
    }


def write_json(result: Result, path: Path, written: bool) -> None:
    """Write the report as a file; raises OutputError if that cannot be done."""
    text = json.dumps(to_json(result, written), indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def _sizes(result: Result) -> dict[str, Any]:
    pairs = {field.name: getattr(result.sizes, field.name) for field in dataclasses.fields(result.sizes)}  # type: ignore[arg-type]
    return {name: None if pair is None else _pair(pair) for name, pair in pairs.items()}


def _pair(pair: SizePair) -> dict[str, Any]:
    return {"before": pair.before, "after": pair.after, "ratio": pair.ratio}


def _data_name(data: object) -> str:
    return str(data) if isinstance(data, str | Path) else "arrays"


def _plain(value: Any) -> Any:
    """Only what JSON knows: no infinity or NaN (null instead), no tuples."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
