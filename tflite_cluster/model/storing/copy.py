"""The new file where weights are stored as codes: not a copy of the same length, but written anew."""

from __future__ import annotations

import io
from typing import cast

from ..analysis import Analysis
from ..draft import Draft
from ..patch import PatchedCopy
from .biases import exact_biases
from .store import write_stored


class StoredCopy(Draft):
    """A patched copy with its codes in place of the float values that they stand for."""

    def __init__(self, analysis: Analysis, copy: PatchedCopy) -> None:
        """analysis: of the model that is copied."""
        super().__init__(copy.model, copy.destination)
        self._analysis = analysis
        self._copy = copy

    def _fill(self) -> None:
        model = self._copy.reopen()
        codes = self._copy.stored
        fast = [weight for weight in self._analysis.weights if weight.span in codes and codes[weight.span].is_fast]
        self.stored = exact_biases(model, fast) | codes
        write_stored(model, list(self.stored.values()), cast(io.BufferedIOBase, self._file))
