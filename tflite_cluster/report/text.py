"""The result for people: what changed, what it weighs, and whether it still computes the same."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..result import Result, SizePair, TensorResult

if TYPE_CHECKING:
    from ..fidelity.verdict import Fidelity, OutputFidelity

_MOST_ROWS: Final = 40
_MOST_NAME: Final = 44
_PIPE_WIDTH: Final = 140


def print_result(result: Result) -> None:
    """Write the tables and the verdict to standard output: with lines and colours on a terminal, plain in a pipe."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    for part in render(result):
        console.print(part)


def render(result: Result) -> list[Table | Text]:
    """The parts of the report in order."""
    clustered = [tensor for tensor in result.tensors if tensor.reason is None]
    others = [tensor for tensor in result.tensors if tensor.reason is not None]
    parts: list[Table | Text] = []
    if clustered:
        parts.append(_tensor_table(clustered))
    if others:
        parts.append(_reasons(others))
    if result.sizes is not None:
        parts.append(_size_table(result))
    parts += [Text(line, style) for line, style in fidelity_lines(result.fidelity)]
    if result.destination is not None and result.fidelity.passed:
        parts.append(Text(f"{printable(result.source)} -> {printable(str(result.destination))}"))
    return parts


def printable(name: str, most: int | None = None) -> str:
    """A name without control characters, which could steer a terminal, and cut in the middle to `most` characters."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    if most is None or len(clean) <= most:
        return clean
    head = (most - 1) // 2
    return f"{clean[:head]}…{clean[head + 1 - most :]}"


def _plain_table(*columns: str, numbers_from: int) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= numbers_from else "left", no_wrap=True)
    return table


def _tensor_table(tensors: list[TensorResult]) -> Table:
    table = _plain_table("Tensor", "Operator", "Type", "Shape", "Values", "SQNR dB", "Bits/weight", numbers_from=4)
    largest = sorted(tensors, key=lambda tensor: -tensor.bytes)[:_MOST_ROWS]
    for tensor in tensors:
        if tensor in largest:
            table.add_row(
                Text(printable(tensor.name, _MOST_NAME)),
                tensor.operator,
                tensor.type.lower(),
                "×".join(map(str, tensor.shape)),
                f"{tensor.values_before} → {tensor.values_after}",
                decibels(tensor.sqnr),
                "" if tensor.bits_after is None else f"{tensor.bits_before:.2f} → {tensor.bits_after:.2f}",
            )
    rest = tensors if len(tensors) > len(largest) else []
    if rest:
        table.add_row(f"… and {len(tensors) - len(largest)} smaller ones")
    return table


def _reasons(tensors: list[TensorResult]) -> Table:
    by_reason: dict[str, list[TensorResult]] = defaultdict(list)
    for tensor in tensors:
        by_reason[tensor.reason or ""].append(tensor)
    table = _plain_table("Left alone because", "Constants", "Bytes", "For example", numbers_from=1)
    table.columns[-1].justify = "left"
    for reason, group in sorted(by_reason.items(), key=lambda item: -sum(tensor.bytes for tensor in item[1])):
        total = sum(tensor.bytes for tensor in group)
        name = max(group, key=lambda tensor: tensor.bytes).name
        table.add_row(Text(printable(reason)), f"{len(group)}", f"{total:,}", Text(printable(name, _MOST_NAME)))
    return table


def _size_table(result: Result) -> Table:
    table = _plain_table("Bytes", "Before", "After", "Times smaller", numbers_from=1)
    sizes = result.sizes
    assert sizes is not None
    rows: list[tuple[str, SizePair | None]] = [
        ("file", sizes.file),
        ("gzip -6", sizes.gzip6),
        ("zip -9", sizes.zip9),
        ("xz", sizes.xz),
    ]
    for name, pair in rows:
        if pair is not None:
            ratio = "" if pair is sizes.file else f"{pair.ratio:.2f}"
            table.add_row(name, f"{pair.before:,}", f"{pair.after:,}", ratio)
    return table


def fidelity_lines(fidelity: Fidelity) -> list[tuple[str, str]]:
    """The verdict, line by line, each with a style."""
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
    for gate in fidelity.gates:
        word, style = ("holds", "green") if gate.passed else ("FAILS", "bold red")
        lines.append((f"  gate {gate.gate} {word}: {printable(gate.why)}", style))
    return lines


def _output_line(output: OutputFidelity) -> str:
    parts = [f"output {printable(output.name, _MOST_NAME)}:"]
    if output.agreement is not None:
        parts.append(f"{100 * output.agreement:.2f} % agreement,")
    if output.sqnr_db is not None:
        parts.append(f"SQNR {decibels(output.sqnr_db)} dB,")
    if output.cosine is not None:
        parts.append(f"cosine {output.cosine:.5f},")
    if output.kl_divergence is not None:
        parts.append(f"KL {output.kl_divergence:.2g} nats,")
    if output.max_abs_error is not None:
        parts.append(f"largest error {output.max_abs_error:.3g}")
    if output.note:
        parts.append(f"({printable(output.note)})")
    return " ".join(parts).rstrip(",")


def _noise_line(fidelity: Fidelity) -> str:
    floor = fidelity.noise_floor
    if floor is None or floor.cause is not None or not floor.outputs:
        return "noise floor: not known" + (f" ({printable(floor.cause)})" if floor and floor.cause else "")
    worst = min((output.sqnr_db for output in floor.outputs if output.sqnr_db is not None), default=None)
    return f"noise floor: {decibels(worst)} dB, the original against itself under other kernels"


def decibels(value: float | None) -> str:
    """A ratio in words of a table; an infinite one means that nothing differs."""
    if value is None:
        return ""
    return ("exact" if value > 0 else "none") if math.isinf(value) else f"{value:.1f}"
