"""Two models compared on samples, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ..api.compare import Comparison, LayerComparison
from ..units import decibels
from ..version import __version__
from .findings import fidelity_lines
from .json import fidelity_json, plain
from .names import printable
from .tables import MOST_NAME, PIPE_WIDTH, fitted_table, print_parts

FORMAT_VERSION = 1

_COLUMNS: Final = ("Tensor", "Signature", "Operator", "SQNR dB", "Error added %")


def print_comparison(found: Comparison) -> None:
    """Write it to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda width: render_comparison(found, width))


def render_comparison(found: Comparison, width: int = PIPE_WIDTH) -> list[Table | Text]:
    """The layers, what can be said of them, and the verdict, for a terminal of `width` columns."""
    parts: list[Table | Text] = [_layer_table(found.layers, width), Text()] if found.layers else []
    lines = [(printable(note[:1].upper() + note[1:]), "yellow") for note in found.notes]
    lines += fidelity_lines(found.fidelity)
    if found.worst is not None:
        worst = f"{printable(found.worst.operator)} '{printable(found.worst.tensor)}'"
        lines.append((f"The error grows most in {worst}.", ""))
    return parts + [Text(line, style) for line, style in lines]


def _layer_table(layers: Sequence[LayerComparison], width: int) -> Table:
    """In the order in which they are run; signatures are told apart where there are several."""
    rows = [_row(layer) for layer in layers]
    several = len({layer.signature for layer in layers}) > 1
    columns = [column for column in _COLUMNS if several or column != "Signature"]
    return fitted_table(columns, ("Operator",), rows, width, most=MOST_NAME)


def _row(layer: LayerComparison) -> dict[str, str]:
    cells = (
        printable(layer.tensor),
        printable(layer.signature or ""),
        printable(layer.operator),
        decibels(layer.sqnr),
        f"{max(layer.added, 0.0):.3g}",
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The same in the form of schema/comparison.schema.json; `null` stands for what is infinite or not known."""
    return {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        "first": found.first,
        "second": found.second,
        "fidelity": plain(fidelity_json(found.fidelity)),
        "layers": [plain(dataclasses.asdict(layer)) for layer in found.layers],
        "notes": list(found.notes),
    }
