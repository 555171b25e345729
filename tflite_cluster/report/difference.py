"""The difference between two models, for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ..api.diff import Difference, TensorDifference
from ..api.twin import StoredDifference
from ..units import decibels
from ..version import __version__
from .json import plain
from .names import printable
from .patches import patch_words
from .tables import PIPE_WIDTH, fitted_table, print_parts, table

FORMAT_VERSION = 1

_COLUMNS: Final = ("Tensor", "Operator", "Type", "Shape", "Offset", "Changed", "Values", "SQNR dB")
_DISPENSABLE: Final = ("Offset", "Shape", "Type", "Operator")
_STORED_COLUMNS: Final = ("Tensor", "Operator", "Was", "Shape", "Scales", "Values", "SQNR dB", "Largest error")
_STORED_DISPENSABLE: Final = ("Shape", "Was", "Scales", "Operator")
"""Columns that a narrow terminal does without, in this order."""


def print_difference(difference: Difference) -> None:
    """Write it to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda width: render_difference(difference, width))


def render_difference(difference: Difference, width: int = PIPE_WIDTH) -> list[Table | Text]:
    """The parts of the report in order, for a terminal of `width` columns."""
    parts: list[Table | Text] = []
    if difference.stored:
        rows = [_stored_row(tensor) for tensor in difference.stored]
        parts += [fitted_table(_STORED_COLUMNS, _STORED_DISPENSABLE, rows, width), Text()]
    if difference.tensors:
        rows = [_row(tensor) for tensor in difference.tensors]
        parts += [fitted_table(_COLUMNS, _DISPENSABLE, rows, width), Text()]
    if difference.places:
        places = [(f"{place.start:,}", f"{place.changed:,}", printable(place.what)) for place in difference.places]
        left = difference.changed_elsewhere - sum(place.changed for place in difference.places)
        if left:
            places.append(("…", f"{left:,}", "further on"))
        parts += [table(("Offset", "Bytes changed", "Where no weight or bias is"), places), Text()]
    lines = _verdict(difference)
    if difference.patches is not None:
        lines.append((f"Patch: {patch_words(difference.patches)}.", ""))
    return [*parts, *(Text(line, style) for line, style in lines)]


def difference_json(difference: Difference) -> dict[str, Any]:
    """The same in the form of schema/difference.schema.json; `null` for a ratio that is infinite or not known."""
    report = {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        **dataclasses.asdict(difference),
        "identical": difference.identical,
        "only_weights": difference.only_weights,
    }
    return {name: plain(value) for name, value in report.items()}


def _row(tensor: TensorDifference) -> dict[str, str]:
    cells = (
        printable(tensor.name),
        printable(tensor.operator) + (" bias" if tensor.role == "bias" else ""),
        tensor.type.lower(),
        "×".join(map(str, tensor.shape)),
        f"{tensor.start:,}",
        f"{tensor.changed:,} of {tensor.values:,}",
        f"{tensor.distinct_before} → {tensor.distinct_after}",
        "not finite" if tensor.sqnr is None else decibels(tensor.sqnr),
    )
    return dict(zip(_COLUMNS, cells, strict=True))


def _stored_row(tensor: StoredDifference) -> dict[str, str]:
    cells = (
        printable(tensor.name),
        "bias" if tensor.role == "bias" else printable(tensor.operator),
        tensor.type.lower(),
        "×".join(map(str, tensor.shape)),
        f"{tensor.scales}",
        f"{tensor.distinct_before} → {tensor.distinct_after}",
        "not finite" if tensor.sqnr is None else decibels(tensor.sqnr),
        "not finite" if tensor.largest_error is None else f"{tensor.largest_error:.2g}",
    )
    return dict(zip(_STORED_COLUMNS, cells, strict=True))


def _verdict(difference: Difference) -> list[tuple[str, str]]:
    names = f"{printable(difference.first)} and {printable(difference.second)}"
    if difference.identical:
        return [(f"{names} are the same.", "green")]
    weights = sum(tensor.role == "weight" for tensor in difference.tensors)
    biases = len(difference.tensors) - weights
    rescaled = sum(tensor.rescaled for tensor in difference.tensors)
    lines = [_stored_line(difference)] if difference.stored else []
    if difference.tensors:
        counted = ((weights, "weight", "weights"), (biases, "bias", "biases"))
        where = " and ".join(_count(*each) for each in counted if each[0] or not difference.stored)
        scales = f", {rescaled} of them with other scales" if rescaled else ""
        also = " also" if difference.stored else ""
        lines.append((f"{names}{also} differ in {where}{scales}.", ""))
    if difference.stored:
        return [*lines, *_otherwise(difference)]
    if difference.only_weights:
        return [*lines, (f"All else of the {difference.bytes_first:,} bytes is the same.", "green")]
    if difference.bytes_first != difference.bytes_second:
        first, second = f"{difference.bytes_first:,}", f"{difference.bytes_second:,}"
        lines.append((f"NOT THE SAME LENGTH: {first} bytes and {second} bytes.", "bold red"))
    if difference.changed_elsewhere:
        lines.append((f"NOT ONLY WEIGHTS: {difference.changed_elsewhere:,} bytes differ elsewhere.", "bold red"))
    return lines


def _stored_line(difference: Difference) -> tuple[str, str]:
    stored = difference.stored
    before, after = sum(tensor.bytes_before for tensor in stored), sum(tensor.bytes_after for tensor in stored)
    weights = _count(sum(tensor.role == "weight" for tensor in stored), "float weight", "float weights")
    biases = sum(tensor.role == "bias" for tensor in stored)
    kinds = " and ".join(sorted({tensor.codes.lower() for tensor in stored}))
    weights += f" and {_count(biases, 'bias', 'biases')}" if biases else ""
    where = f"{printable(difference.second)} stores {weights} as {kinds} codes behind DEQUANTIZE"
    known = [tensor for tensor in stored if tensor.sqnr is not None]
    worst = min(known, key=lambda tensor: tensor.sqnr or 0.0, default=None)
    close = "" if worst is None else f"; the least close is '{printable(worst.name)}' at {decibels(worst.sqnr, True)}"
    return f"{where}: {before:,} → {after:,} bytes{close}.", ""


def _otherwise(difference: Difference) -> list[tuple[str, str]]:
    if difference.only_weights:
        lengths = f"The files take {difference.bytes_first:,} and {difference.bytes_second:,} bytes."
        return [(f"All other tensors, operators, buffers and signatures are the same. {lengths}", "green")]
    lines = []
    if difference.otherwise is not None:
        lines.append((f"NOT ONLY WEIGHTS: {printable(difference.otherwise)}.", "bold red"))
    if difference.changed_elsewhere:
        lines.append((f"NOT ONLY WEIGHTS: {difference.changed_elsewhere:,} bytes of other constants.", "bold red"))
    return lines


def _count(number: int, one: str, many: str = "weights") -> str:
    return f"{number} {one if number == 1 else many}"
