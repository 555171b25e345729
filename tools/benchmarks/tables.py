"""Rows as tables of Markdown: one quantity in a cell."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from .results import Entry


def prose(text: str) -> str:
    """Sentences in lines of the usual length; of a list, one entry."""
    return textwrap.fill(
        text, 120, break_long_words=False, break_on_hyphens=False, subsequent_indent="  " * text.startswith("- ")
    )


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table, or a sentence if it would be empty."""
    lines = ["| " + " | ".join(row) + " |" for row in body]
    if not lines:
        return "Not measured yet."
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def times(value: float, bold: bool = False) -> str:
    """How many times smaller."""
    return f"**{value:.2f}**" if bold else f"{value:.2f}"


def signed(points: float) -> str:
    """Points with their sign; nothing is neither gained nor lost at 0."""
    return f"{points:+.1f}" if round(points, 1) else "0.0"


def error(value: float) -> str:
    """A standard error in points."""
    return f"{value:.1f}"


def percent(value: float) -> str:
    """A share that is near 100."""
    return f"{value:.1f}"


def megabytes(size: float) -> str:
    """Bytes in MB, by three digits."""
    return f"{size / 1e6:.3g}"


def outcome(entry: Entry, bold: bool = False) -> tuple[str, str, str, str]:
    """Times smaller, points, their error, and agreement."""
    return times(entry.times(), bold), signed(entry.points), error(entry.error), percent(entry.agreement)


OUTCOME = ("times smaller", "points", "±", "agreement, %")
"""Headings of an outcome."""
