"""An inspection for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from ..api.inspect import InspectedConstant, InspectedWeight, Inspection, Total
from ..api.interfaces import InspectedOutput, ValueRange
from ..packing.coders import CODERS
from .names import printable
from .tables import PIPE_WIDTH, example_room, print_parts, table, tensor_table

_MOST_OPERATORS: Final = 24
_SMALLEST_MENTIONED: Final = 1024
"""Constants left alone for a reason that holds for less than this many bytes in all share a line."""

_COLUMNS: Final = ("Tensor", "Operator", "Type", "Shape", "Values", "/channel", "Entropy", "Deflated", "Share")
_DISPENSABLE: Final = ("Shape", "/channel", "Type", "Operator", "Entropy")
"""Columns that a narrow terminal does without, in this order."""


def print_inspection(inspection: Inspection) -> None:
    """Write the inspection to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda width: render(inspection, width))


def render(inspection: Inspection, width: int = PIPE_WIDTH) -> list[Table | Text]:
    """The parts in order, for a terminal of `width` columns."""
    parts: list[Table | Text] = [Text(_headline(inspection), "bold"), Text()]
    parts += _interface(inspection, width)
    if inspection.weights:
        parts += [_weight_table(inspection.weights, width), Text()]
        parts += [_totals("Weights of", inspection.by_operator, width), Text()]
        parts += [_totals("Type", inspection.by_type, width), Text()]
    alone: list[InspectedWeight | InspectedConstant] = [weight for weight in inspection.weights if weight.reason]
    alone += inspection.constants
    if alone:
        parts += [_reasons(alone, width), Text()]
    if len(inspection.sizes) > 1:
        parts += [_sizes(inspection), Text()]
    return parts + [Text(line) for line in _verdict(inspection)]


def _headline(inspection: Inspection) -> str:
    size = f"{printable(inspection.source)}: {inspection.file_bytes:,} bytes"
    if inspection.zip_bytes is None:
        return size
    return f"{size}, zip -9 {inspection.zip_bytes:,} ({inspection.zip_bytes / inspection.file_bytes:.1%})"


def _interface(inspection: Inspection, width: int) -> list[Table | Text]:
    """What the model takes and gives, and what it would get for want of data."""
    several = len({each.signature for each in inspection.outputs}) > 1
    parts: list[Table | Text] = []
    for heading, each in (("Input", inspection.inputs), ("Output", inspection.outputs)):
        if each:
            rows = [
                (_endpoint(one, several, width // 3), one.type.lower(), _shape(one.shape), _range(one.range))
                for one in each
            ]
            parts += [table((heading, "Type", "Shape", "Range"), rows), Text()]
    lines = {f"{printable(one.name)}: {one.synthetic}" for one in inspection.inputs}
    if lines:
        without = [f"Without data, {line}" for line in sorted(lines)]
        parts += [*(Text(line) for line in without), Text()]
    return parts


def _endpoint(one: InspectedOutput, several: bool, room: int) -> str:
    return printable(f"{one.signature}: {one.name}" if several else one.name, room)


def _shape(shape: Sequence[int]) -> str:
    return "×".join("any" if size < 0 else str(size) for size in shape) or "scalar"


def _range(found: ValueRange | None) -> str:
    return "" if found is None else f"{found.low:.4g} to {found.high:.4g} ({found.source})"


def _sizes(inspection: Inspection) -> Table:
    rows = [
        (CODERS[name].words, f"{size:,}", f"{size / inspection.file_bytes:.1%}")
        for name, size in inspection.sizes.items()
    ]
    return table(("Packed", "Bytes", "Of the file"), rows)


def _verdict(inspection: Inspection) -> list[str]:
    if not inspection.weights:
        return ["Nothing here can be clustered: there are no weights."]
    wanted = [weight for weight in inspection.weights if weight.reason is None]
    share = sum(weight.share for weight in wanted)
    size = sum(weight.bytes for weight in wanted)
    lines = [
        f"Would be clustered: {len(wanted)} of {_tensors(len(inspection.weights))}, {size:,} bytes, "
        f"{share:.1%} of the file"
    ]
    few = sum(weight.clustered is True for weight in inspection.weights)
    if inspection.already_clustered:
        lines.append(f"Already clustered: at most {inspection.most_values:,} values in every tensor")
    elif few:
        lines.append(f"Clustered already, by the look of it: {few} of them, but not all")
    return lines


def _tensors(count: int) -> str:
    return "1 weight tensor" if count == 1 else f"{count} weight tensors"


def _weight_table(weights: Sequence[InspectedWeight], width: int) -> Table:
    rows = [_weight_row(weight) for weight in weights]
    return tensor_table(_COLUMNS, _DISPENSABLE, rows, [weight.bytes for weight in weights], width)


def _weight_row(weight: InspectedWeight) -> dict[str, str]:
    form = "" if weight.quantisation == "none" else f" {weight.quantisation}"
    cells = (
        printable(weight.name),
        printable(weight.operator, _MOST_OPERATORS),
        weight.type.lower() + form + (" sparse" if weight.sparse else ""),
        _shape(weight.shape),
        f"{weight.values:,}",
        f"{weight.values_per_channel:g}",
        f"{weight.entropy:.2f}",
        f"{weight.deflated:.2f}",
        f"{weight.share:.1%}",
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _totals(heading: str, totals: Sequence[Total], width: int) -> Table:
    rows = [
        (
            printable(total.name if heading != "Type" else total.name.lower(), width // 3),
            f"{total.tensors}",
            f"{total.weights:,}",
            f"{total.bytes:,}",
            f"{total.deflated_bytes:,}",
            f"{total.share:.1%}",
        )
        for total in totals
    ]
    return table((heading, "Tensors", "Weights", "Bytes", "Deflated", "Share"), rows)


def _reasons(alone: Sequence[InspectedWeight | InspectedConstant], width: int) -> Table:
    """What would be left alone, by reason; reasons for little share the last line."""
    by_reason: dict[str, list[InspectedWeight | InspectedConstant]] = defaultdict(list)
    for tensor in alone:
        by_reason[tensor.reason or ""].append(tensor)
    small = [reason for reason, group in by_reason.items() if _bytes(group) < _SMALLEST_MENTIONED]
    if len(small) > 1:
        by_reason["for other reasons"] = [tensor for reason in small for tensor in by_reason.pop(reason)]
    rows = []
    for reason, group in sorted(by_reason.items(), key=lambda item: (item[0] == "for other reasons", -_bytes(item[1]))):
        name = max(group, key=lambda tensor: tensor.bytes).name
        example = printable(name, example_room(width))
        rows.append((printable(reason), f"{len(group)}", f"{_bytes(group):,}", example))
    return table(("Left alone because", "Constants", "Bytes", "For example"), rows, wrapped="Left alone because")


def _bytes(group: Sequence[InspectedWeight | InspectedConstant]) -> int:
    return sum(tensor.bytes for tensor in group)
