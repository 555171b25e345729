"""The rows of a benchmark as tables need them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .measure import agreement, agreement_error, points, standard_error
from .published import Published, results_for
from .rows import Row, newest

ORIGINAL = "original"
TOOL = "this tool"
PARTS = "parts of this tool"
SAME, SAME_DATA = "in place, without data", "in place, with data"
INT8, INT8_DATA = "stored as int8, without data", "stored as int8, with data"
"""This tool's methods that tables are made of."""

SMALL_LOSS = -0.5
"""Points that count as hardly any loss."""


@dataclass(frozen=True)
class Entry:
    """A row that worked, beside the row of the unchanged model."""

    row: Row
    original: Row

    @property
    def tool(self) -> str:
        """Its name in tables; that of models made elsewhere stands before their method's."""
        return self.row["method"].partition(": ")[0] if self.row["tool"] == "made elsewhere" else self.row["tool"]

    @property
    def method(self) -> str:
        """What tables call it."""
        return self.row["method"].rpartition(": ")[2] if self.row["tool"] == "made elsewhere" else self.row["method"]

    @property
    def zip_bytes(self) -> int:
        """Of the zip at level 9."""
        return int(self.row["sizes"]["zip9"])

    def times(self, coder: str = "zip9") -> float:
        """How many times smaller a coder makes it than the original."""
        return float(self.original["sizes"][coder] / self.row["sizes"][coder])

    @property
    def points(self) -> float:
        """Change of accuracy; negative if some was lost."""
        return points(self.row["counts"])

    @property
    def error(self) -> float:
        """One standard error of that change."""
        return standard_error(self.row["counts"])

    @property
    def agreement(self) -> float:
        """In percent."""
        return agreement(self.row["counts"])

    @property
    def agreement_error(self) -> float:
        """One standard error of the agreement, in points."""
        return agreement_error(self.row["counts"])


@dataclass(frozen=True)
class Model:
    """All rows of one model."""

    name: str
    is_float: bool
    published: tuple[Published, ...]
    original: Row
    entries: tuple[Entry, ...]
    """Other rows that worked."""
    failures: tuple[Row, ...]

    @property
    def samples(self) -> int:
        """Samples that it was judged on."""
        return int(self.original["counts"]["samples"])

    @property
    def accuracy(self) -> float:
        """Of the original, in percent."""
        return 100 * self.original["counts"]["right_before"] / self.samples

    @property
    def compared(self) -> tuple[Entry, ...]:
        """The entries of methods as people use them, not of parts."""
        return tuple(entry for entry in self.entries if entry.row["tool"] != PARTS)

    def of(self, tool: str) -> Iterator[Entry]:
        """The entries of one tool."""
        return (entry for entry in self.compared if entry.tool == tool)

    def entry(self, method: str, tool: str = TOOL) -> Entry | None:
        """The entry of a method, if it worked."""
        return next(
            (entry for entry in self.entries if (entry.row["tool"], entry.row["method"]) == (tool, method)), None
        )

    @property
    def smallest(self) -> Entry | None:
        """The one with the smallest zip that loses hardly anything."""
        return smallest(self.compared)


def smallest(entries: Iterator[Entry] | tuple[Entry, ...]) -> Entry | None:
    """The entry with the smallest zip that loses hardly anything; None if all lose more."""
    close = [entry for entry in entries if entry.points >= SMALL_LOSS]
    return min(close, key=lambda entry: entry.zip_bytes, default=None)


@dataclass(frozen=True)
class Results:
    """All rows of a file."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: list[Row]) -> Results:
        """Of rows of several versions, the newest."""
        return cls(tuple(newest(rows)))

    @property
    def speed(self) -> tuple[Row, ...]:
        """Rows of generated models."""
        return tuple(row for row in self.rows if row.get("kind") == "speed")

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The models, in the order of the file, of which the unchanged one was measured."""
        by_model: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.get("kind") != "speed":
                by_model.setdefault(row["model_hash"], []).append(row)
        return tuple(model for rows in by_model.values() for model in _model(rows))


def _model(rows: list[Row]) -> Iterator[Model]:
    original = next((row for row in rows if row["tool"] == ORIGINAL and "counts" in row), None)
    if original is not None:
        others = [row for row in rows if row["tool"] != ORIGINAL]
        yield Model(
            original["model"],
            original["is_float"],
            results_for(original["published"]),
            original,
            tuple(Entry(row, original) for row in others if "counts" in row),
            tuple(row for row in others if "failed" in row),
        )
