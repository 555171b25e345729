"""A file of the same length: weights keep their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..model.analysis import Analysis
from ..model.draft import Draft
from ..model.groups import Groups
from ..model.patch import PatchedCopy
from ..model.weight import Weight
from ..search.encodings import Encode, Place, SameCodes


class SameTypes:
    """Only the bytes of weights change, and those of biases and scales that belong to them."""

    keeps_types = True

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:  # noqa: ARG002  (the protocol has them)
        """All with the codes that they have."""

        def same_codes(weight: Weight, rows: Groups) -> SameCodes:
            return SameCodes(Place(weight, rows))

        return same_codes

    @contextmanager
    def finished(self, analysis: Analysis, copy: PatchedCopy) -> Iterator[Draft]:  # noqa: ARG002  (the protocol has it)
        """The copy itself."""
        copy.flush()
        yield copy

    def prove(self, copy: PatchedCopy, new: Draft) -> None:
        """The copy itself is what was proven."""


TARGET = SameTypes()
