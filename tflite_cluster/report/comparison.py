"""Two models compared on samples, for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.table import Table
from rich.text import Text

from .. import __version__
from ..comparison import Comparison
from .findings import decibels, fidelity_lines
from .json import fidelity_json, plain
from .names import printable
from .tables import print_parts, table


def print_comparison(found: Comparison) -> None:
    """Write it to standard output; raises BrokenPipeError if nobody reads to the end."""
    rows = [(layer.operator, printable(layer.tensor), decibels(layer.sqnr), f"{max(layer.added, 0.0):.3g}")
            for layer in found.layers]  # fmt: skip
    lines = fidelity_lines(found.fidelity)
    lines += [(printable(note), "yellow") for note in found.notes]
    if found.worst is not None:
        lines.append((f"The error grows most in {found.worst.operator} '{printable(found.worst.tensor)}'.", ""))
    parts: list[Table | Text] = (
        [table(("Operator", "Tensor", "SQNR dB", "Error added %"), rows), Text()] if rows else []
    )
    print_parts(lambda _: [*parts, *(Text(line, style) for line, style in lines)])


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The same as JSON types; `null` stands for a ratio that is infinite."""
    return {
        "format": 1,
        "tool": f"tflite-cluster {__version__}",
        "first": found.first,
        "second": found.second,
        "fidelity": plain(fidelity_json(found.fidelity)),
        "notes": list(found.notes),
        "layers": [plain(dataclasses.asdict(layer)) for layer in found.layers],
    }
