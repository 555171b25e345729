"""What became of the models of a batch, for people: on the terminal, and as a page for a browser."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from ..api.batch import Batch
from ..api.batch_results import RESULTS
from ..api.batch_task import BatchRecord
from ..fidelity.gate import Tile
from ..files import check_place, write_text
from ..units import size_words
from . import templates
from .names import printable
from .tables import print_parts, table

_COLUMNS: Final = ("Model", "Outcome", "Verdict", "zip -9 before", "After", "Times smaller", "Seconds")
_MOST_BARS: Final = 30

PAGE: Final = "results.html"
"""The name of the page in the folder of a batch."""


def print_batch(batch: Batch) -> None:
    """Write a line for each model to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda _width: render_batch(batch))


def render_batch(batch: Batch) -> list[Table | Text]:
    """The table and a summary."""
    summary = _summary(batch)
    zipped = _zipped(batch)
    if zipped is not None:
        before, after = zipped
        summary += f"; those done zip {before / after:.2f} times smaller: {before:,} → {after:,} bytes"
    return [table(_COLUMNS, list(map(_row, batch.records))), Text(), Text(summary)]


def check_page(folder: Path, force: bool) -> None:
    """Refuse a page that cannot be written, or that would replace a file no batch has written; raises OutputError."""
    if (folder / PAGE).exists():
        check_place(folder / PAGE, force or (folder / RESULTS).is_file())


def write_batch_page(batch: Batch, date: str) -> None:
    """Write the page into the folder of the batch; raises OutputError if that cannot be done."""
    write_text(batch.folder / PAGE, batch_page(batch, date))


def batch_page(batch: Batch, date: str) -> str:
    """The whole page, which opens without a network."""
    errors = [printable(record.error) for record in batch.records if record.error is not None]
    sizes = [(record.destination, *record.zip9_bytes) for record in _done(batch) if record.zip9_bytes is not None]
    return templates.fill(
        "batch.html",
        title=printable(batch.folder.name),
        summary=_summary(batch),
        tone="bad" if any(record.outcome == "failed" for record in batch.records) else "warn" if errors else "good",
        figures=_tiles(batch),
        date=date,
        errors=errors,
        models=templates.Table(
            "Models in the order of the command", _COLUMNS, list(map(_row, batch.records)), (0, 1, 2)
        ),
        sizes=templates.largest(sizes, _MOST_BARS),
    )


def _tiles(batch: Batch) -> list[Tile]:
    zipped = _zipped(batch)
    tiles = [Tile("Models", f"{len(batch.records)}", f"{len(_done(batch))} done")]
    if zipped is not None:
        tiles.append(Tile("Zipped", size_words(*zipped), f"{zipped[0] / zipped[1]:.2f} times smaller, of those done"))
    verdicts = Counter(record.verdict for record in _done(batch))
    tiles += [Tile(f"Verdict: {verdict}", f"{count}", "") for verdict, count in verdicts.most_common()]
    return tiles


def _summary(batch: Batch) -> str:
    counts = Counter(record.outcome for record in batch.records)
    models = f"{len(batch.records)} model" + ("" if len(batch.records) == 1 else "s")
    summary = f"{models}: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}"
    return f"{summary}; {batch.resumed} of them before this run" if batch.resumed else summary


def _done(batch: Batch) -> list[BatchRecord]:
    return [record for record in batch.records if record.outcome == "done"]


def _zipped(batch: Batch) -> tuple[int, int] | None:
    """Bytes of all that is done, zipped, before and after; None if nothing was weighed."""
    pairs = [record.zip9_bytes for record in _done(batch) if record.zip9_bytes is not None]
    return (sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)) if pairs else None


def _row(record: BatchRecord) -> tuple[str, ...]:
    sizes = ("", "", "")
    if record.zip9_bytes is not None:
        before, after = record.zip9_bytes
        sizes = (f"{before:,}", f"{after:,}", f"{before / after:.2f}")
    return printable(record.destination), record.outcome, record.verdict or "", *sizes, f"{record.seconds:.1f}"
