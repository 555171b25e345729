"""What becomes of the user's gates once a model has been compared."""

from __future__ import annotations

import dataclasses

from .gate import GateOutcome
from .gates import Gates
from .verdict import Fidelity


def judge(fidelity: Fidelity, gates: Gates) -> Fidelity:
    """Add the outcome of each gate that is set.

    A gate that cannot be measured fails. A broken model fails even if no gate is set.
    """
    outcomes = [gate.measure(gate, fidelity, limit, gates.confidence) for gate, limit in gates]
    if fidelity.status == "broken":
        why = fidelity.cause or "the clustered model cannot be run"
        outcomes.insert(0, GateOutcome("runs", None, None, False, why))
    return dataclasses.replace(fidelity, gates=tuple(outcomes))
