"""The result for people: what changed, what it weighs, and whether it still computes the same."""

from __future__ import annotations

import io
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..result import Result, SizePair, TensorResult

if TYPE_CHECKING:
    from ..fidelity.verdict import Fidelity, OutputFidelity

_MOST_ROWS: Final = 40
_MOST_NAME: Final = 44
_LEAST_NAME: Final = 20
_GAP: Final = 2
_PIPE_WIDTH: Final = 1000
"""So wide that nothing is cut or wrapped."""

_COLUMNS: Final = ("Tensor", "Operator", "Type", "Shape", "Values", "SQNR dB", "Bits/weight")
_LEFT: Final = {"Tensor", "Operator", "Type", "Shape", "Left alone because", "For example", "Packed"}
_DISPENSABLE: Final = ("Shape", "Type", "Bits/weight")
"""Columns that a narrow terminal does without, in this order."""


def print_result(result: Result, written: bool) -> None:
    """Write the tables and the verdict to standard output: fitted to a terminal, plain and in full in a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows are not in every encoding
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    for part in render(result, written, console.width):
        console.print(part)


def render(result: Result, written: bool, width: int = _PIPE_WIDTH) -> list[Table | Text]:
    """The parts of the report in order, for a terminal of `width` columns."""
    clustered = [tensor for tensor in result.tensors if tensor.reason is None]
    others = [tensor for tensor in result.tensors if tensor.reason is not None]
    parts: list[Table | Text] = []
    if clustered:
        parts += [_tensor_table(clustered, width), Text()]
    if others:
        parts += [_reasons(others), Text()]
    if result.sizes is not None:
        parts += [_size_table(result), Text()]
    parts += [Text(line, style) for line, style in fidelity_lines(result.fidelity)]
    if result.destination is not None and written:
        parts.append(Text(f"{printable(result.source)} → {printable(str(result.destination))}"))
    return parts


def printable(name: str, most: int | None = None) -> str:
    """A name without control characters, which could steer a terminal, and cut in the middle to `most` characters."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    if most is None or len(clean) <= most:
        return clean
    head = (most - 1) // 2
    return f"{clean[:head]}…{clean[head + 1 - most :]}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: str | None = None) -> Table:
    """A table without lines; cells are text as it is, never markup. Only the `wrapped` column breaks its lines."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=column != wrapped)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _tensor_table(tensors: list[TensorResult], width: int) -> Table:
    largest = sorted(range(len(tensors)), key=lambda index: -tensors[index].bytes)[:_MOST_ROWS]
    rows = [_tensor_row(tensors[index]) for index in sorted(largest)]
    if len(tensors) > len(rows):
        rows.append({"Tensor": f"… and {len(tensors) - len(rows)} smaller ones"})
    columns = list(_COLUMNS)
    for column in _DISPENSABLE:
        if width - _width_of(columns[1:], rows) >= _LEAST_NAME:
            break
        columns.remove(column)
    room = max(_LEAST_NAME, min(_MOST_NAME, width - _width_of(columns[1:], rows)))
    for row in rows:
        row["Tensor"] = printable(row["Tensor"], room)
    return _table(columns, [[row.get(column, "") for column in columns] for row in rows])


def _width_of(columns: list[str], rows: list[dict[str, str]]) -> int:
    """What the columns take, with the gap before each."""
    return sum(max(len(column), *(len(row.get(column, "")) for row in rows)) + _GAP for column in columns)


def _tensor_row(tensor: TensorResult) -> dict[str, str]:
    bits = None if tensor.bits_after is None else f"{tensor.bits_before:.2f} → {tensor.bits_after:.2f}"
    cells = (
        printable(tensor.name),
        printable(tensor.operator, _MOST_NAME),
        tensor.type.lower(),
        "×".join(map(str, tensor.shape)),
        f"{tensor.values_before} → {tensor.values_after}",
        decibels(tensor.sqnr),
        bits or "",
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _reasons(tensors: list[TensorResult]) -> Table:
    by_reason: dict[str, list[TensorResult]] = defaultdict(list)
    for tensor in tensors:
        by_reason[tensor.reason or ""].append(tensor)
    rows = []
    for reason, group in sorted(by_reason.items(), key=lambda item: -sum(tensor.bytes for tensor in item[1])):
        total = sum(tensor.bytes for tensor in group)
        name = max(group, key=lambda tensor: tensor.bytes).name
        rows.append((printable(reason), f"{len(group)}", f"{total:,}", printable(name, _LEAST_NAME)))
    return _table(("Left alone because", "Constants", "Bytes", "For example"), rows, wrapped="Left alone because")


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
    return _table(("Packed", "Bytes before", "After", "Times smaller"), rows)


def fidelity_lines(fidelity: Fidelity) -> list[tuple[str, str]]:
    """The verdict, line by line, each with a style."""
    lines = list(_findings(fidelity))
    for gate in fidelity.gates:
        word, style = ("holds", "green") if gate.passed else ("FAILS", "bold red")
        lines.append((f"  gate {gate.gate} {word}: {printable(gate.why)}", style))
    return lines


def _findings(fidelity: Fidelity) -> list[tuple[str, str]]:
    if fidelity.status == "skipped":
        return [("Fidelity: not checked, as asked.", "yellow")]
    if fidelity.status != "checked":
        style = "bold red" if fidelity.status == "broken" else "yellow"
        return [(f"Fidelity: {fidelity.status.upper()}: {printable(fidelity.cause or '')}", style)]
    lines = [(f"Fidelity, checked on {printable(fidelity.basis or '')}:", "bold")]
    if fidelity.accuracy is not None:
        accuracy = fidelity.accuracy
        change = f"{100 * accuracy.before:.2f} % → {100 * accuracy.after:.2f} % ({-accuracy.drop_points:+.2f} points)"
        lines.append((f"  top-1 accuracy {change}", ""))
    lines += [(f"  {_output_line(output)}", "") for output in fidelity.outputs]
    lines.append((f"  {_noise_line(fidelity)}", "dim"))
    return lines


def _output_line(output: OutputFidelity) -> str:
    parts = [f"SQNR {decibels(output.sqnr_db)}" + (" dB" if _is_finite(output.sqnr_db) else "")]
    if output.sqnr_db is None:
        parts = []
    if output.agreement is not None:
        parts.insert(0, f"{100 * output.agreement:.2f} % agreement")
    if output.cosine is not None:
        parts.append(f"cosine {output.cosine:.5f}")
    if output.kl_divergence is not None:
        parts.append(f"KL {output.kl_divergence:.2g} nats")
    if output.max_abs_error is not None:
        parts.append(f"largest error {output.max_abs_error:.3g}")
    note = f" ({printable(output.note)})" if output.note else ""
    return f"output {printable(output.name, _MOST_NAME)}: {', '.join(parts)}{note}"


def _noise_line(fidelity: Fidelity) -> str:
    floor = fidelity.noise_floor
    if floor is None or floor.cause is not None or not floor.outputs:
        return "noise floor: not known" + (f" ({printable(floor.cause)})" if floor and floor.cause else "")
    worst = min((output.sqnr_db for output in floor.outputs if output.sqnr_db is not None), default=None)
    if worst is None:
        return "noise floor: not known (no output holds real numbers)"
    if worst == math.inf:
        return "noise floor: none, the original computes the same under other kernels"
    return f"noise floor: {decibels(worst)} dB, the original against itself under other kernels"


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def decibels(value: float | None) -> str:
    """A ratio in words of a table; an infinite one means that nothing differs."""
    if value is None:
        return ""
    return ("exact" if value > 0 else "none") if math.isinf(value) else f"{value:.1f}"
