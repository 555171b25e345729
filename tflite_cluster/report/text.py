"""The result for people: what changed, what it weighs, and whether it still computes the same."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from rich.table import Table
from rich.text import Text

from ..result import Result, Strategy, TensorResult
from ..targets.chips.chip import HandedOff
from ..units import decibels
from .findings import Line, fidelity_lines, left_out_lines
from .headline import headline
from .names import printable
from .patches import update_line
from .storing import benchmark_line, estimate_line, type_words
from .tables import MOST_NAME, PIPE_WIDTH, example_room, named_sizes, print_parts, table, tensor_table

_MOST_OPERATORS: Final = 44

_COLUMNS: Final = ("Tensor", "Operator", "Type", "Shape", "Values", "SQNR dB", "Bits/weight")
_DISPENSABLE: Final = ("Shape", "Type", "Bits/weight")
"""Columns that a narrow terminal does without, in this order."""


def print_result(result: Result, written: bool, verbose: bool = False, handed: HandedOff | None = None) -> None:
    """Write the result to standard output, fitted to a terminal or to COLUMNS: in two lines first and last.

    verbose: with tables of tensors and sizes. handed: what a chip's tools made. Raises BrokenPipeError if nobody reads
    to the end.
    """
    print_parts(lambda width: render(result, written, width, verbose, handed))


def render(
    result: Result, written: bool, width: int = PIPE_WIDTH, verbose: bool = False, handed: HandedOff | None = None
) -> list[Table | Text]:
    """The parts of the report in order, for a terminal of `width` columns."""
    head = headline(result, written, handed)
    tables = _tables(result, width) if verbose else []
    lines = _details(result, verbose)
    if result.destination is not None and written:
        lines += [("", ""), (f"{printable(result.source)} → {printable(str(result.destination))}", "")]
    else:
        lines.append(("", ""))
    return [*_texts([*head, ("", "")]), *tables, *_texts([*lines, *head])]


def _texts(lines: list[Line]) -> list[Table | Text]:
    return [Text(line, style) for line, style in lines]


def _tables(result: Result, width: int) -> list[Table | Text]:
    """Tensors, what was left alone and why, and sizes."""
    clustered = [tensor for tensor in result.tensors if tensor.clustered]
    others = [(tensor.reason, tensor) for tensor in result.tensors if tensor.reason is not None]
    kept = [(tensor.keeps_type, tensor) for tensor in result.tensors if tensor.keeps_type is not None]
    parts: list[Table | Text] = []
    if clustered:
        parts += [_tensor_table(clustered, width), Text()]
    if others:
        parts += [_reasons("Left alone because", others, width), Text()]
    if kept:
        parts += [_reasons("Keeps its type because", kept, width), Text()]
    if result.sizes is not None:
        parts += [_size_table(result), Text()]
    return parts


def _details(result: Result, verbose: bool) -> list[Line]:
    """How it was done, and the findings."""
    weights = sum(tensor.role == "weight" for tensor in result.tensors)
    biases = sum(tensor.role == "bias" for tensor in result.tensors)
    lines = [(_strategy_line(result.strategy, weights), "")] if weights else []
    if not verbose:
        changed = sum(tensor.clustered for tensor in result.tensors)
        lines.append((f"{changed} of {weights} weights changed; --verbose lists them, and what was left alone", ""))
    lines += left_out_lines(result.strategy)
    rescaled = sum(bool(tensor.scales) for tensor in result.tensors)
    if rescaled:
        lines.append(
            (f"{rescaled} integer weight{'' if rescaled == 1 else 's'} with scales that many channels share", "")
        )
    if biases:
        lines.append((f"{biases} {'bias' if biases == 1 else 'biases'} fitted to the new weights", ""))
    estimate = estimate_line(result)
    if estimate is not None:
        lines.append((estimate, ""))
    lines += fidelity_lines(result.fidelity)
    if result.update is not None:
        lines.append((update_line(result.update), ""))
    if result.benchmark is not None:
        lines.append((benchmark_line(result.benchmark), ""))
    return lines


def _strategy_line(strategy: Strategy, weights: int) -> str:
    search = strategy.search
    words = printable(strategy.words)
    if search is None:
        return f"How: {words}"
    candidates = "1 candidate" if len(search.points) == 1 else f"{len(search.points)} candidates"
    found = f"none of {candidates} is good enough" if search.chosen is None else f"{candidates} tried"
    return f"How: {words}: {found}; inputs observed for {search.observed} of {weights} weights"


def _tensor_table(tensors: list[TensorResult], width: int) -> Table:
    rows = [_tensor_row(tensor) for tensor in tensors]
    return tensor_table(_COLUMNS, _DISPENSABLE, rows, [tensor.bytes for tensor in tensors], width, MOST_NAME)


def _tensor_row(tensor: TensorResult) -> dict[str, str]:
    bits = None if tensor.bits_after is None else f"{tensor.bits_before:.2f} → {tensor.bits_after:.2f}"
    cells = (
        printable(tensor.name),
        printable(tensor.operator, _MOST_OPERATORS),
        type_words(tensor),
        "×".join(map(str, tensor.shape)),
        f"{tensor.values_before} → {tensor.values_after}",
        decibels(tensor.sqnr),
        bits or "",
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _reasons(title: str, tensors: list[tuple[str, TensorResult]], width: int) -> Table:
    """How many tensors there are for each reason."""
    by_reason: dict[str, list[TensorResult]] = defaultdict(list)
    for reason, tensor in tensors:
        by_reason[reason].append(tensor)
    rows = []
    for reason, group in sorted(by_reason.items(), key=lambda item: -sum(tensor.bytes for tensor in item[1])):
        total = sum(tensor.bytes for tensor in group)
        name = max(group, key=lambda tensor: tensor.bytes).name
        example = printable(name, example_room(width))
        rows.append((printable(reason), f"{len(group)}", f"{total:,}", example))
    return table((title, "Constants", "Bytes", "For example"), rows, wrapped=title)


def _size_table(result: Result) -> Table:
    sizes = result.sizes
    assert sizes is not None
    rows = [
        (name, f"{pair.before:,}", f"{pair.after:,}", "" if pair.after == pair.before else f"{pair.ratio:.2f}")
        for name, pair in named_sizes(sizes)
    ]
    return table(("Packed", "Bytes before", "After", "Times smaller"), rows)
