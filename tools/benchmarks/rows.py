"""The rows of a benchmark: a file with a line of JSON for each model and method."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_SUBJECT = ("model_hash", "samples_hash", "tool", "method", "settings")


def key(row: Row) -> str:
    """What tells a row from others: model, samples, method, settings, and the tool's version."""
    return json.dumps([row.get(name) for name in (*_SUBJECT, "version")], sort_keys=True)


def read(path: Path) -> list[Row]:
    """The rows of a file; none if it does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def newest(rows: Iterable[Row]) -> list[Row]:
    """Of rows that differ in the tool's version alone, the last one, in the order of the file."""
    found: dict[str, Row] = {}
    for row in rows:
        subject = json.dumps([row.get(name) for name in _SUBJECT], sort_keys=True)
        found.pop(subject, None)
        found[subject] = row
    return list(found.values())


def append(path: Path, row: Row) -> None:
    """Add a row, whole or not at all, as far as the system writes a line at once."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the file anew."""
    new = path.with_name(path.name + ".new")
    new.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    new.replace(path)
