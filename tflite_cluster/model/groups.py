"""Elements of a tensor by what they share."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Groups:
    """Elements seen as an array (outer, groups, inner), each group with something of its own (a scale, a codebook)."""

    outer: int
    groups: int
    inner: int

    @classmethod
    def along(cls, shape: tuple[int, ...], axis: int) -> Groups:
        """One group per index of `axis`."""
        axis %= len(shape)
        return cls(prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape to view the elements in."""
        return self.outer, self.groups, self.inner
