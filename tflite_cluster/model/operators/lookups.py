"""Operators that read slices of a table."""

from __future__ import annotations

from typing import Any, Final

import tflite

from .record import Lookup, OperatorRecord


def _axis(options: Any) -> int:
    """The axis that a GATHER takes slices along; a negative one counts from the end."""
    return 0 if options is None else int(options.Axis())


RECORDS: Final = (
    OperatorRecord("EMBEDDING_LOOKUP", weights={1: 0}, lookup=Lookup(table=1, indices=0)),
    OperatorRecord("EMBEDDING_LOOKUP_SPARSE", weights={4: 0}, lookup=Lookup(table=4)),
    OperatorRecord("GATHER", tflite.GatherOptions, weights={0: 0}, lookup=Lookup(table=0, indices=1, axis=_axis)),
    OperatorRecord("GATHER_ND", weights={0: 0}, needs_learned_values=True),
)
