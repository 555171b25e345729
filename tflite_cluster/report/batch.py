"""What became of the models of a batch, for people."""

from __future__ import annotations

from collections import Counter

from rich.table import Table
from rich.text import Text

from ..api.batch import Batch
from ..api.batch_task import BatchRecord
from .names import printable
from .tables import hanging, print_parts, table


def print_batch(batch: Batch) -> None:
    """Write a line for each model to standard output; raises BrokenPipeError if nobody reads to the end."""
    print_parts(lambda width: render_batch(batch, width))


def render_batch(batch: Batch, width: int) -> list[Table | Text]:
    """The table and a summary, for a terminal of `width` columns."""
    columns = ("Model", "zip -9 before", "After", "Times smaller", "Seconds", "Outcome", "Verdict")
    counts = Counter(record.outcome for record in batch.records)
    summary = f"{len(batch.records)} models: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}"
    if batch.resumed:
        summary += f"; {batch.resumed} of them before this run"
    zipped = [record.zip9_bytes for record in batch.records if record.outcome == "done" and record.zip9_bytes]
    if zipped:
        before, after = (sum(pair[side] for pair in zipped) for side in (0, 1))
        summary += f"; those done zip {before / after:.2f} times smaller: {before:,} → {after:,} bytes"
    return [table(columns, list(map(_row, batch.records))), Text(), Text(hanging(summary, width))]


def _row(record: BatchRecord) -> tuple[str, ...]:
    sizes = ("", "", "")
    if record.zip9_bytes is not None:
        before, after = record.zip9_bytes
        sizes = (f"{before:,}", f"{after:,}", f"{before / after:.2f}")
    return printable(record.destination), *sizes, f"{record.seconds:.1f}", record.outcome, record.verdict or ""
