"""The curve of size against fidelity, for people and for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ..api.sweep import Sweep, SweepPoint
from ..fidelity.accuracy import Accuracy
from ..units import decibels
from ..version import __version__
from .json import plain, quality_json
from .names import printable
from .tables import PIPE_WIDTH, fitting, print_parts, table

FORMAT_VERSION = 1

_COLUMNS: Final = (
    "",
    "Zip bytes",
    "Times smaller",
    "Bits/weight",
    "Agreement %",
    "Expected loss",
    "Points lost",
    "SQNR dB",
    "Asked for by",
)
_DISPENSABLE: Final = ("Bits/weight", "Agreement %", "Zip bytes")
"""Columns that a narrow terminal does without, in this order."""


def print_sweep(sweep: Sweep) -> None:
    """Write it to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda width: render_sweep(sweep, width))


def render_sweep(sweep: Sweep, width: int = PIPE_WIDTH) -> list[Table | Text]:
    """The table, and what it rests on, for a terminal of `width` columns."""
    rows = [_row(point) for point in sweep.points]
    used = [column for column in _COLUMNS if any(row[column] for row in rows)]
    dispensable = [column for column in _DISPENSABLE if column in used]
    columns = fitting(used, dispensable, rows, width)
    body = [[row[column] for column in columns] for row in rows]
    lines = [
        (f"{printable(sweep.source)}: {sweep.zip_bytes:,} bytes zipped; measured on {printable(sweep.basis)}", ""),
        ("→ is the default's choice", "green")
        if sweep.default is not None
        else ("No default: nothing tried was close enough to the original.", "yellow"),
    ]
    if sweep.synthetic:
        lines.append(("Synthetic inputs say little about accuracy: give --data to be sure.", "yellow"))
    return [table(columns, body), Text(), *(Text(line, style) for line, style in lines)]


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """The same in the form that schema/sweep.schema.json describes; `null` stands for what is infinite or not known."""
    report = {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        "source": sweep.source,
        "basis": sweep.basis,
        "synthetic": sweep.synthetic,
        "file_bytes": sweep.file_bytes,
        "zip_bytes": sweep.zip_bytes,
        "floor": None if sweep.floor is None else quality_json(sweep.floor),
        "points": [_point(point) for point in sweep.points],
    }
    return {name: plain(part) for name, part in report.items()}


def _row(point: SweepPoint) -> dict[str, str]:
    quality = point.quality
    cells = (
        "→" if point.is_default else "",
        f"{point.zip_bytes:,}",
        f"{point.ratio:.2f}",
        f"{point.bits:.2f}",
        "" if quality.agreement is None else f"{100 * quality.agreement:.2f}",
        "" if quality.expected_loss is None else f"{quality.expected_loss:.2f}",
        "" if quality.accuracy is None else _lost(quality.accuracy),
        decibels(quality.sqnr),
        point.options,
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _lost(accuracy: Accuracy) -> str:
    """Points lost, with their standard error if anything changed."""
    points = f"{accuracy.drop_points + 0.0:.2f}"
    return f"{points} ± {accuracy.standard_error_points:.2f}" if accuracy.lost or accuracy.gained else points


def _point(point: SweepPoint) -> dict[str, Any]:
    return {
        "default": point.is_default,
        "multiplier": point.multiplier,
        "in_order": point.in_order,
        "bits": point.bits,
        "weight_sqnr_db": point.weight_sqnr,
        "zip_bytes": point.zip_bytes,
        "ratio": point.ratio,
        **quality_json(point.quality),
        "options": point.options,
    }
