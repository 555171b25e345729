"""What became of the models of a bundle, for people."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ..api.bundle import BundledModel, BundleResult
from ..units import size_words
from .names import printable
from .tables import print_parts, table


def print_bundle(result: BundleResult) -> None:
    """Write a line for each model to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda _width: render(result))


def render(result: BundleResult) -> list[Table | Text]:
    """The parts in order."""
    models = table(("Model", "zip -9 before", "After", "Times smaller", "Verdict"), list(map(_row, result.models)))
    alone = [
        f"{printable(model.name)} is left unchanged: {printable(model.left_alone)}"
        for model in result.models
        if model.left_alone is not None
    ]
    sizes = f"{size_words(result.file_bytes_before, result.file_bytes_after)} as it lies on the disk"
    if result.file_bytes_after == result.file_bytes_before:
        sizes = f"{result.file_bytes_after:,} bytes as before; what is packed of it gets smaller"
    lines = [*alone, f"{printable(result.source)} → {printable(str(result.destination))}: {sizes}"]
    return [models, Text(), *(Text(line) for line in lines)]


def _row(model: BundledModel) -> tuple[str, ...]:
    name = printable(model.name)
    if model.left_alone is not None:
        return name, "", "", "", "left unchanged"
    sizes = model.result.sizes
    bytes_and_ratio = ("", "", "")
    if sizes is not None:
        bytes_and_ratio = (f"{sizes.zip9.before:,}", f"{sizes.zip9.after:,}", f"{sizes.zip9.ratio:.2f}")
    return name, *bytes_and_ratio, model.result.fidelity.verdict
