"""The result for people: what changed, what it weighs, and whether it still computes the same."""

from __future__ import annotations

import io
import os
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..result import Result, SizePair, Strategy, TensorResult
from .findings import decibels, fidelity_lines
from .names import printable, shortened

_MOST_ROWS: Final = 40
_LEAST_NAME: Final = 20
_MOST_OPERATORS: Final = 44
_GAP: Final = 2
_PIPE_WIDTH: Final = 100_000
"""So wide that nothing is cut or wrapped."""

_COLUMNS: Final = ("Tensor", "Operator", "Type", "Shape", "Values", "SQNR dB", "Bits/weight")
_LEFT: Final = {
    "Tensor",
    "Operator",
    "Type",
    "Shape",
    "Left alone because",
    "For example",
    "Packed",
    "Where no weight or bias is",
}
_DISPENSABLE: Final = ("Shape", "Type", "Bits/weight")
"""Columns that a narrow terminal does without, in this order."""


def print_result(result: Result, written: bool) -> None:
    """Write the tables and the verdict to standard output: fitted to a terminal, or to COLUMNS, else plain and in full.

    Raises BrokenPipeError if nobody reads to the end.
    """
    print_parts(lambda width: render(result, written, width))


def print_parts(render_at: Callable[[int], Sequence[Table | Text]]) -> None:
    """Write what is rendered for the width of the terminal, or of the pipe; raises BrokenPipeError likewise."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows are not in every encoding
    console = Console(width=_pipe_width() if not sys.stdout.isatty() else None, highlight=False)
    with console.capture() as captured:
        for part in render_at(console.width):
            console.print(part)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def _pipe_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else _PIPE_WIDTH


def render(result: Result, written: bool, width: int = _PIPE_WIDTH) -> list[Table | Text]:
    """The parts of the report in order, for a terminal of `width` columns."""
    clustered = [tensor for tensor in result.tensors if tensor.clustered]
    others = [tensor for tensor in result.tensors if tensor.reason is not None]
    biases = sum(tensor.role == "bias" for tensor in result.tensors)
    parts: list[Table | Text] = []
    if clustered:
        parts += [_tensor_table(clustered, width), Text()]
    if others:
        parts += [_reasons(others, width), Text()]
    if result.sizes is not None:
        parts += [_size_table(result), Text()]
    weights = sum(tensor.role == "weight" for tensor in result.tensors)
    lines = [(_strategy_line(result.strategy, weights), "")] if weights else []
    if biases:
        lines.append((f"{biases} {'bias' if biases == 1 else 'biases'} shifted to make up for mean errors", ""))
    lines += fidelity_lines(result.fidelity)
    if result.destination is not None and written:
        lines.append((f"{printable(result.source)} → {printable(str(result.destination))}", ""))
    return parts + [Text(_hanging(line, width), style) for line, style in lines]


def _hanging(line: str, width: int) -> str:
    """The line broken at `width`, what follows further in than its beginning."""
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _strategy_line(strategy: Strategy, weights: int) -> str:
    search = strategy.search
    words = printable(strategy.words)
    if search is None:
        return f"How: {words}"
    points = "1 point" if len(search.points) == 1 else f"{len(search.points)} points"
    if search.chosen is None:
        found = f"none of {points} visited is good enough"
    else:
        found = f"{points} visited, and that of multiplier {search.chosen.multiplier:.3g} chosen"
    return f"How: {words}: {found}; inputs observed for {search.observed} of {weights} weights"


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: str | None = None) -> Table:
    """A table without lines; cells are text as it is, never markup. Only the `wrapped` column breaks its lines."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=column != wrapped)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _tensor_table(tensors: list[TensorResult], width: int) -> Table:
    largest = sorted(range(len(tensors)), key=lambda index: -tensors[index].bytes)[:_MOST_ROWS]
    rows = [_tensor_row(tensors[index], width) for index in sorted(largest)]
    columns = list(_COLUMNS)
    for column in _DISPENSABLE:
        if width - _width_of(columns[1:], rows) >= _LEAST_NAME:
            break
        columns.remove(column)
    room = max(_LEAST_NAME, width - _width_of(columns[1:], rows))
    for row, name in zip(rows, shortened([row["Tensor"] for row in rows], room), strict=True):
        row["Tensor"] = name
    if len(tensors) > len(rows):
        rows.append({"Tensor": f"… and {len(tensors) - len(rows)} smaller ones"})
    return plain_table(columns, [[row.get(column, "") for column in columns] for row in rows])


def _width_of(columns: list[str], rows: list[dict[str, str]]) -> int:
    """What the columns take, with the gap before each."""
    return sum(max(len(column), *(len(row.get(column, "")) for row in rows)) + _GAP for column in columns)


def _tensor_row(tensor: TensorResult, width: int) -> dict[str, str]:
    bits = None if tensor.bits_after is None else f"{tensor.bits_before:.2f} → {tensor.bits_after:.2f}"
    cells = (
        printable(tensor.name),
        printable(tensor.operator, _MOST_OPERATORS if width < _PIPE_WIDTH else None),
        tensor.type.lower(),
        "×".join(map(str, tensor.shape)),
        f"{tensor.values_before} → {tensor.values_after}",
        decibels(tensor.sqnr),
        bits or "",
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _reasons(tensors: list[TensorResult], width: int) -> Table:
    by_reason: dict[str, list[TensorResult]] = defaultdict(list)
    for tensor in tensors:
        by_reason[tensor.reason or ""].append(tensor)
    rows = []
    for reason, group in sorted(by_reason.items(), key=lambda item: -sum(tensor.bytes for tensor in item[1])):
        total = sum(tensor.bytes for tensor in group)
        name = max(group, key=lambda tensor: tensor.bytes).name
        example = printable(name, _LEAST_NAME if width < _PIPE_WIDTH else None)
        rows.append((printable(reason), f"{len(group)}", f"{total:,}", example))
    return plain_table(("Left alone because", "Constants", "Bytes", "For example"), rows, wrapped="Left alone because")


def _size_table(result: Result) -> Table:
    sizes = result.sizes
    assert sizes is not None
    named: list[tuple[str, SizePair | None]] = [
        ("not at all", sizes.file),
        ("gzip -6", sizes.gzip6),
        ("zip -9", sizes.zip9),
        ("xz", sizes.xz),
    ]
    rows = [
        (name, f"{pair.before:,}", f"{pair.after:,}", "" if pair is sizes.file else f"{pair.ratio:.2f}")
        for name, pair in named
        if pair is not None
    ]
    return plain_table(("Packed", "Bytes before", "After", "Times smaller"), rows)
