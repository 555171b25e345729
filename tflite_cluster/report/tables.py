"""Tables and lines fitted to a terminal; in a pipe, tables that can be read, and lines in full."""

from __future__ import annotations

import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..packing.coders import CODERS
from ..result import SizePair, Sizes
from .names import shortened

PIPE_WIDTH: Final = 120
"""Columns that tables are fitted to where nobody says how wide the page is."""

_ENDLESS: Final = 100_000
"""So wide that nothing is cut or wrapped."""

_GAP: Final = 2
_MOST_ROWS: Final = 40
MOST_NAME: Final = 60
"""Characters of a tensor's name where nobody is likely to copy it from."""

LEAST_NAME: Final = 20
"""Characters of a tensor's name that a narrow terminal leaves it at least."""

_LEFT: Final = {
    "Tensor",
    "Input",
    "Output",
    "Range",
    "Signature",
    "Operator",
    "Type",
    "Shape",
    "Left alone because",
    "Keeps its type because",
    "Model",
    "Outcome",
    "Verdict",
    "For example",
    "Packed",
    "Weights of",
    "Where no weight or bias is",
}


def print_parts(render: Callable[[int], list[Table | Text]]) -> None:
    """Write to standard output what `render` makes for its width. The width is COLUMNS, or that of the terminal.

    In a pipe without COLUMNS, tables are as wide as PIPE_WIDTH, or wider where they have to be, and no line is broken.
    Raises BrokenPipeError if nobody reads to the end.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows are not in every encoding
    columns = None if sys.stdout.isatty() else _given_columns()  # a terminal is asked by the library
    in_full = columns is None and not sys.stdout.isatty()
    console = Console(width=_ENDLESS if in_full else columns, highlight=False)
    with console.capture() as captured:
        if in_full:
            _print_in_full(console, render(PIPE_WIDTH))
        else:
            print_fitted(console, render(console.width))
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def print_fitted(console: Console, parts: Iterable[Table | Text]) -> None:
    """Print parts to a console; a line that is too long for it goes on further in."""
    for part in parts:
        console.print(Text(hanging(part.plain, console.width), part.style) if isinstance(part, Text) else part)


def _print_in_full(console: Console, parts: Iterable[Table | Text]) -> None:
    for part in parts:
        if isinstance(part, Text):
            console.print(part)
        else:
            uncut = Measurement.get(console, console.options, part).minimum
            console.print(part, width=max(PIPE_WIDTH, uncut))


def _given_columns() -> int | None:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else None


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: str | None = None) -> Table:
    """A table without lines; cells are plain text, never markup. Only the `wrapped` column breaks its lines."""
    built = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        built.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=column != wrapped)
    for row in rows:
        built.add_row(*map(Text, row))
    return built


def tensor_table(
    columns: Sequence[str],
    dispensable: Sequence[str],
    rows: Sequence[dict[str, str]],
    sizes: Sequence[int],
    width: int,
    most: int | None = None,
) -> Table:
    """The largest of the rows, in order, one for each tensor of those sizes, fitted to a width.

    most: characters of a name, however wide the terminal is.
    """
    largest = sorted(range(len(rows)), key=lambda index: -sizes[index])[:_MOST_ROWS]
    shown = [rows[index] for index in sorted(largest)]
    left = f"… and {len(rows) - len(shown)} smaller ones" if len(rows) > len(shown) else ""
    return fitted_table(columns, dispensable, shown, width, left, most)


def fitted_table(
    columns: Sequence[str],
    dispensable: Sequence[str],
    rows: Sequence[dict[str, str]],
    width: int,
    left: str = "",
    most: int | None = None,
) -> Table:
    """Rows about tensors, whose names come first, and a line about those that are `left`, fitted to a width.

    Names are shortened, and a narrow terminal does without the dispensable columns, the first of them first.
    """
    kept = [columns[0], *fitting(columns[1:], dispensable, rows, width - LEAST_NAME)]
    room = max(LEAST_NAME, min(width - _width_of(kept[1:], rows), most or width))
    names = shortened([row["Tensor"] for row in rows], room)
    body = [[name, *(row[column] for column in kept[1:])] for row, name in zip(rows, names, strict=True)]
    if left:
        body.append([left, *("" for _ in kept[1:])])
    return table(kept, body)


def example_room(width: int) -> int:
    """Characters for the name of an example, beside a column whose lines are broken."""
    return max(LEAST_NAME, width // 4)


def fitting(
    columns: Sequence[str], dispensable: Sequence[str], rows: Sequence[dict[str, str]], width: int
) -> list[str]:
    """The columns that fit into a width, if the dispensable ones are left out, the first of them first."""
    kept = list(columns)
    for column in dispensable:
        if _width_of(kept, rows) <= width:
            break
        kept.remove(column)
    return kept


def _width_of(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> int:
    """What the columns take, with the gap before each."""
    return sum(max(len(column), *(len(row[column]) for row in rows)) + _GAP for column in columns)


def hanging(line: str, width: int) -> str:
    """The line broken at `width`, what follows further in than its beginning."""
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def named_sizes(sizes: Sizes) -> list[tuple[str, SizePair]]:
    """The file itself and by each coder that was measured, with their names for people."""
    packed = [(CODERS[name].words, pair) for name, pair in sizes.packed.items()]
    return [("installed", sizes.file), *packed]
