"""What becomes of the user's gates once a model has been compared."""

from __future__ import annotations

import dataclasses

from .accuracy import Accuracy
from .gates import Gates
from .verdict import Fidelity, GateOutcome, Score


def judge(fidelity: Fidelity, gates: Gates) -> Fidelity:
    """Add the outcome of each gate that is set.

    A gate that cannot be measured fails. A broken model fails even if no gate is set.
    """
    outcomes: list[GateOutcome] = []
    if fidelity.status == "broken":
        outcomes.append(GateOutcome("runs", None, None, False, fidelity.cause or "the clustered model cannot be run"))
    if gates.min_agreement is not None:
        outcomes.append(_agreement_gate(fidelity, gates.min_agreement))
    if gates.min_sqnr is not None:
        outcomes.append(_sqnr_gate(fidelity, gates.min_sqnr))
    if gates.max_drop is not None:
        outcomes.append(_drop_gate(fidelity, gates.max_drop, gates.confidence))
    return dataclasses.replace(fidelity, gates=tuple(outcomes))


def _agreement_gate(fidelity: Fidelity, limit: float) -> GateOutcome:
    found = [output for output in fidelity.outputs if output.agreement is not None]
    if fidelity.status != "checked" or not found:
        return _unmeasured("min-agreement", limit, fidelity, "no output holds class scores or whole numbers")
    telling = [output for output in found if output.compares_classes]
    if not telling:
        name = fidelity.label(found[0])
        why = f"{name} has one class for nearly all samples, so that agreement says nothing: {_remedy(fidelity)}"
        return _unmeasured("min-agreement", limit, fidelity, fidelity.silence or why)
    agreement, name = min((output.agreement or 0.0, fidelity.label(output)) for output in found)
    why = f"the models agree on {100 * agreement:.2f} % of {name}, and {limit:g} % is asked for"
    return GateOutcome("min-agreement", limit, 100 * agreement, 100 * agreement >= limit, why)


def _sqnr_gate(fidelity: Fidelity, limit: float) -> GateOutcome:
    real = [output for output in fidelity.outputs if output.real]
    if fidelity.status != "checked" or not real:
        return _unmeasured("min-sqnr", limit, fidelity, "no output holds real numbers")
    judged = [output for output in real if output.sqnr_db is not None]
    broken = [output for output in real if output.sqnr_db is None and output.varies]
    if broken:
        why = f"the SQNR of {fidelity.label(broken[0])} cannot be measured: {broken[0].note or 'it has no values'}"
        return GateOutcome("min-sqnr", limit, None, False, why)
    silent = [output for output in real if not output.varies and not output.chosen]
    if silent or not judged:
        names = ", ".join(fidelity.label(output) for output in silent or real)
        why = f"{names} hardly varies over the samples: {_remedy(fidelity)}"
        return _unmeasured("min-sqnr", limit, fidelity, fidelity.silence or why)
    sqnr, name = min((output.sqnr_db or 0.0, fidelity.place(output)) for output in judged)
    why = f"the SQNR of {name} is {sqnr:.2f} dB, and {limit:g} dB is asked for"
    return GateOutcome("min-sqnr", limit, sqnr, sqnr >= limit, why)


def _drop_gate(fidelity: Fidelity, limit: float, confidence: float | None) -> GateOutcome:
    if fidelity.score is not None:
        return _score_gate(fidelity.score, limit)
    accuracy = fidelity.accuracy
    if fidelity.status != "checked" or accuracy is None:
        reason = fidelity.note or "it takes data with labels, and an output with scores for each class"
        return _unmeasured("max-drop", limit, fidelity, reason)
    if accuracy.doubt is not None:
        return _unmeasured("max-drop", limit, fidelity, doubt_in_words(accuracy))
    drop = accuracy.drop_points
    change = "does not change" if abs(drop) < 0.005 else f"changes by {-drop:+.2f} points"
    # Shares of the same count of samples differ by rounding alone where the counts of hits do not.
    if confidence is None:
        why = f"top-1 accuracy {change}, and {limit:g} may be lost"
        return GateOutcome("max-drop", limit, drop, drop <= limit + 1e-9, why)
    bound = accuracy.drop_bound(confidence)
    why = (
        f"top-1 accuracy {change} on {accuracy.samples} samples; with {confidence:g} % confidence, at most "
        f"{max(bound, 0):.2f} points are lost, and {limit:g} may be lost"
    )
    return GateOutcome("max-drop", limit, bound, bound <= limit + 1e-9, why)


def doubt_in_words(accuracy: Accuracy) -> str:
    """Why the accuracy of the original says nothing."""
    return (
        f"the original classifies {accuracy.right_before} of {accuracy.samples} samples rightly, as guessing would "
        f"({100 * accuracy.chance:.1f} %): {accuracy.doubt}"
    )


def _score_gate(score: Score, limit: float) -> GateOutcome:
    why = f"the score of {score.metric} changes from {score.before:.6g} to {score.after:.6g}, and {limit:g} may be lost"
    return GateOutcome("max-drop", limit, score.drop, score.drop <= limit + 1e-9, why)


def _remedy(fidelity: Fidelity) -> str:
    return "give --data" if fidelity.synthetic else "give other samples"


def _unmeasured(gate: str, limit: float, fidelity: Fidelity, reason: str) -> GateOutcome:
    if fidelity.status == "skipped":
        reason = "the check was left out"
    elif fidelity.status != "checked":
        reason = fidelity.cause or "the models could not be compared"
    return GateOutcome(gate, limit, None, False, f"it cannot be measured: {reason}")
