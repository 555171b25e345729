"""A shorter file: float weights become int8 codes that the model itself unpacks by DEQUANTIZE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ModelError
from ..model.analysis import Analysis
from ..model.draft import Draft
from ..model.groups import Groups
from ..model.patch import PatchedCopy
from ..model.storing.copy import StoredCopy
from ..model.storing.same import find_difference
from ..model.storing.store import require_movable
from ..model.weight import Weight
from ..search.encodings import Encode, Encoding, Int8Codes, Place, SameCodes


@dataclass(frozen=True)
class FileOfCodes:
    """Float weights as integer codes with a scale, or one for each output channel."""

    of: Callable[[Place], Encoding]
    """Makes the encoding of one weight."""
    keeps_types: bool = False

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:
        """Codes for those that can be stored so; the others keep what they have."""
        chosen = [weight for weight in weights if analysis.int8_obstacle(weight) is None]
        require_movable(analysis.model, chosen)
        places = frozenset(weight.span for weight in chosen)

        def as_codes(weight: Weight, rows: Groups) -> Encoding:
            place = Place(weight, rows)
            return self.of(place) if weight.span in places else SameCodes(place)

        return as_codes

    @contextmanager
    def finished(self, analysis: Analysis, copy: PatchedCopy) -> Iterator[Draft]:
        """The copy itself where no weight became codes."""
        copy.flush()
        if not copy.stored:
            yield copy
            return
        with StoredCopy(analysis, copy) as new:
            new.flush()
            yield new

    def prove(self, copy: PatchedCopy, new: Draft) -> None:
        """See that a file with codes differs from the copy that it was made of in those codes only.

        Every other buffer holds the same bytes; each weight's codes, scales, type and shape are those that were found,
        and DEQUANTIZE makes of them the tensor that was there; all other tensors, operators with their options, inputs,
        outputs and signatures are the same.
        """
        if not isinstance(new, StoredCopy):
            return
        difference = find_difference(copy.reopen(), new.reopen(), new.stored)
        if difference is not None:
            raise ModelError(f"the new {copy.model.label}: {difference}; nothing was written")


TARGET = FileOfCodes(Int8Codes.of)
