"""The protocol that every target follows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from ..model.analysis import Analysis
from ..model.draft import Draft
from ..model.patch import PatchedCopy
from ..model.weight import Weight
from ..search.encodings import Encode


class Target(Protocol):
    """How weights are written, and the file that a clustered copy becomes."""

    keeps_types: bool
    """Whether every weight keeps the type that it has."""

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:
        """How each of these weights is to be written where its scales stay.

        Raises ModelError, before any work is done, if the file could not be written in the end.
        """

    def finished(self, analysis: Analysis, copy: PatchedCopy) -> AbstractContextManager[Draft]:
        """The file that the copy becomes. analysis: of the model that was copied."""

    def prove(self, copy: PatchedCopy, new: Draft) -> None:
        """Read the finished file again, and see that it holds what the copy does. Raises ModelError if not."""
