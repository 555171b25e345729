"""What stands at a byte of a file, in words."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Sequence

from .read import Model
from .verify import Walk
from .weight import LeftAlone


class Locator:
    """Names the parts of a model's file."""

    def __init__(self, model: Model, constants: Sequence[LeftAlone]) -> None:
        walk = _NamingWalk(model.data)
        walk.run()
        kept = [(constant.span.start, constant.span.stop, _words(constant)) for constant in constants]
        self._fields = _Parts(walk.fields)
        self._parts = _Parts(walk.parts + kept)
        self._end = max(stop for _, stop, _ in [*walk.parts, *((0, span.stop, "") for span in model.buffers)])

    def part(self, position: int) -> tuple[int, str]:
        """The field, table, constant or gap that a byte belongs to: where it ends at most, and what it is."""
        stop = min(self._fields.next_start(position), self._parts.next_start(position))
        for parts in (self._fields, self._parts):
            found = parts.at(position)
            if found is not None:
                return min(found[0], stop), found[1]
        return stop, "a gap between parts of the model" if position < self._end else "what is appended to the model"


class _NamingWalk(Walk):
    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self.parts: list[tuple[int, int, str]] = [(0, 8, "the head of the file")]
        self.fields: list[tuple[int, int, str]] = []

    def note(self, start: int, length: int, what: str) -> None:
        super().note(start, length, what)
        self.parts.append((start, start + length, what))

    def note_field(self, start: int, length: int, what: str) -> None:
        self.fields.append((start, start + length, what))


class _Parts:
    """Spans that do not overlap, with their names."""

    def __init__(self, parts: list[tuple[int, int, str]]) -> None:
        self._parts = sorted(parts)
        self._starts = [start for start, _, _ in self._parts]

    def at(self, position: int) -> tuple[int, str] | None:
        """End and name of the part that this byte belongs to."""
        index = bisect_right(self._starts, position) - 1
        _, stop, what = self._parts[index] if index >= 0 else (0, 0, "")
        return (stop, what) if position < stop else None

    def next_start(self, position: int) -> int:
        """Where the next part behind this byte begins."""
        index = bisect_right(self._starts, position)
        return self._starts[index] if index < len(self._starts) else sys.maxsize


def _words(constant: LeftAlone) -> str:
    return f"constant '{constant.name}' ({constant.reason})"
