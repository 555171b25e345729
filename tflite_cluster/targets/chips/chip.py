"""The protocol that every chip follows, and what its tools report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...model.analysis import Analysis
from ...model.read import Model
from ...model.weight import Weight
from ...packing.sizes import SizeMeasure
from ...search.encodings import Encode


@dataclass(frozen=True)
class LeftOut:
    """A weight that the target gains nothing from, and the reason in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class HandedOff:
    """What the target's own tools made of a clustered model."""

    target: str
    what: str
    """What the bytes below count, in words."""
    bytes_before: int | None
    """Of the original; None where nothing was counted."""
    bytes_after: int | None
    files: tuple[Path, ...] = ()
    """What was written beside the clustered model."""
    left_out: tuple[LeftOut, ...] = ()
    operators: tuple[str, ...] = ()
    """Operators that the application must register to run the last of the files."""
    proof: str | None = None
    """What was run to show that nothing else changed, in words."""
    not_done: str | None = None
    """Why the target's tools made nothing, and what to do, in words. Then all bytes are estimates."""


class Chip(Protocol):
    """What a chip wants of a clustering, and its tools."""

    usual_values: int
    """Values of a codebook where the user names no number, and the model is not run, so that nothing is searched."""
    most_values: int
    """Most values of a codebook; with more, the target gains nothing."""
    why_no_more: str
    """The reason for that number, in words."""

    def obstacle(self, weight: Weight, model: Model, values: int) -> str | None:
        """Why the target would gain nothing from a weight of that many values, in words; None if it would gain."""

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:
        """How each of these weights is to be written, and what its bits cost, as `target.Target` has it."""

    def measure(self, original: Path) -> SizeMeasure:
        """The bytes that `--max-size` counts.

        Raises ConfigError if the chip's tools find nothing to count in the original.
        """

    def files(self, clustered: Path) -> tuple[Path, ...]:
        """What `run` may write beside the clustered model."""

    def run(self, original: Path, clustered: Path) -> HandedOff:
        """Call the target's tools. Raises ModelError or OutputError."""
