"""The gates, one record each, and the limits that a user sets for them.

Options, keys of recipes, entries of the JSON schemas, lines of the verdict, tiles and axes of the page, and what a
search has to keep all follow from these records. A new gate is a record here, and a field of Config and Settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from ..units import decibels
from .gate import Axis, Candidate, Gate, GateOutcome, Tile

if TYPE_CHECKING:
    from .verdict import Fidelity

LEAST_SQNR: Final = 10.0
"""dB about the mean below which a model counts as another one, whatever its other figures: an error with a third of the
signal's amplitude."""

MOST_POINTS: Final = 1.0
"""Points of accuracy beyond which a loss that is more than chance counts, unless it was asked for."""

_ROUNDING: Final = 1e-9
"""Shares of the same count of samples differ by rounding alone where the counts of hits do not."""


def _agreement(gate: Gate, fidelity: Fidelity, limit: float, _: float | None) -> GateOutcome:
    found = [output for output in fidelity.outputs if output.agreement is not None]
    if fidelity.status != "checked" or not found:
        return gate.unmeasured(limit, fidelity, "no output holds class scores or whole numbers")
    if not any(output.compares_classes for output in found):
        name = fidelity.label(found[0])
        why = f"{name} has one class for nearly all samples, so that agreement says nothing: {fidelity.remedy}"
        return gate.unmeasured(limit, fidelity, fidelity.silence or why)
    agreement, name = min((100 * (output.agreement or 0.0), fidelity.label(output)) for output in found)
    why = f"the models agree on {agreement:.2f} % of {name}, and {limit:g} % is asked for"
    return gate.outcome(limit, agreement, agreement >= limit, why)


def _agreement_found(fidelity: Fidelity) -> Tile | None:
    found = [output for output in fidelity.outputs if output.agreement is not None]
    if not found:
        return None
    worst = min(found, key=lambda output: output.agreement or 0.0)
    share, count = worst.agreement or 0.0, worst.classified or 0
    note = f"{round(share * count):,} of {count:,} samples" if count else fidelity.label(worst)
    return Tile("Same class", f"{100 * share:.1f} %", note)


MIN_AGREEMENT: Final = Gate(
    setting="min_agreement",
    metavar="PERCENT",
    unit="percent",
    seeks="Seek the smallest zip that keeps this share of equal top-1 classes, or fail.",
    limits="Least share of equal top-1 classes.",
    meaning="Percent of samples for which both models must name the same class.",
    least=0,
    most=100,
    needs="classes",
    measure=_agreement,
    steers=lambda candidate, limit, _: (candidate.agreement or 0.0) * 100 >= limit,
    found=_agreement_found,
    axis=Axis(
        "percent of agreement",
        lambda candidate: None if candidate.agreement is None else 100 * candidate.agreement,
    ),
)


def _sqnr(gate: Gate, fidelity: Fidelity, limit: float, _: float | None) -> GateOutcome:
    real = [output for output in fidelity.outputs if output.real]
    if fidelity.status != "checked" or not real:
        return gate.unmeasured(limit, fidelity, "no output holds real numbers")
    judged = [output for output in real if output.sqnr_db is not None]
    broken = [output for output in real if output.sqnr_db is None and output.varies]
    if broken:
        why = f"the SQNR of {fidelity.label(broken[0])} cannot be measured: {broken[0].note or 'it has no values'}"
        return GateOutcome(gate.name, limit, None, False, why)
    silent = [output for output in real if not output.varies and not output.chosen]
    if silent or not judged:
        names = ", ".join(fidelity.label(output) for output in silent or real)
        why = f"{names} hardly varies over the samples: {fidelity.remedy}"
        return gate.unmeasured(limit, fidelity, fidelity.silence or why)
    sqnr, name = min((output.sqnr_db or 0.0, fidelity.place(output)) for output in judged)
    why = f"the SQNR of {name} is {sqnr:.2f} dB, and {limit:g} dB is asked for"
    return gate.outcome(limit, sqnr, sqnr >= limit, why)


def _sqnr_unasked(gate: Gate, fidelity: Fidelity) -> GateOutcome | None:
    worst = fidelity.worst_sqnr
    if worst is None or worst[0] >= LEAST_SQNR:
        return None
    why = (
        f"the SQNR of {worst[1]} is {worst[0]:.2f} dB, and a model below {LEAST_SQNR:g} dB is only written "
        f"where {gate.option} sets another limit"
    )
    return gate.outcome(LEAST_SQNR, worst[0], False, why)


def _sqnr_found(fidelity: Fidelity) -> Tile | None:
    worst = fidelity.worst_sqnr
    return None if worst is None else Tile("SQNR", decibels(worst[0], with_unit=True), worst[1])


MIN_SQNR: Final = Gate(
    setting="min_sqnr",
    metavar="DB",
    unit="dB",
    seeks="Seek the smallest zip in which every output keeps this signal-to-noise ratio, or fail.",
    limits="Least signal-to-noise ratio of every output.",
    meaning="Signal-to-noise ratio in dB that every output must keep.",
    measure=_sqnr,
    unasked=_sqnr_unasked,
    steers=lambda candidate, limit, _: candidate.sqnr >= limit,
    found=_sqnr_found,
    axis=Axis("SQNR in dB", lambda candidate: candidate.sqnr),
)


def _drop(gate: Gate, fidelity: Fidelity, limit: float, confidence: float | None) -> GateOutcome:
    score, accuracy = fidelity.score, fidelity.accuracy
    if score is not None:
        change = f"changes from {score.before:.6g} to {score.after:.6g}"
        why = f"the score of {score.metric} {change}, and {limit:g} may be lost"
        return gate.outcome(limit, score.drop, score.drop <= limit + _ROUNDING, why)
    if fidelity.status != "checked" or accuracy is None:
        reason = fidelity.note or "it takes data with labels, and an output with scores for each class"
        return gate.unmeasured(limit, fidelity, reason)
    if accuracy.doubt is not None:
        return gate.unmeasured(limit, fidelity, accuracy.doubt_in_words)
    drop = accuracy.drop_points
    change = "does not change" if abs(drop) < 0.005 else f"changes by {-drop:+.2f} points"
    if confidence is None:
        why = f"top-1 accuracy {change}, and {limit:g} may be lost"
        return gate.outcome(limit, drop, drop <= limit + _ROUNDING, why)
    bound = accuracy.drop_bound(confidence)
    why = (
        f"top-1 accuracy {change} on {accuracy.samples} samples; with {confidence:g} % confidence, at most "
        f"{max(bound, 0):.2f} points are lost, and {limit:g} may be lost"
    )
    return gate.outcome(limit, bound, bound <= limit + _ROUNDING, why)


def _drop_unasked(gate: Gate, fidelity: Fidelity) -> GateOutcome | None:
    accuracy = fidelity.accuracy
    if accuracy is None or fidelity.score is not None or not accuracy.loses_unasked:
        return None
    why = (
        f"{accuracy.drop_points:.2f} ± {accuracy.standard_error_points:.2f} points of top-1 accuracy are lost, "
        f"more than {MOST_POINTS:g} and more than chance; {gate.option} sets another limit"
    )
    return gate.outcome(MOST_POINTS, accuracy.drop_points, False, why)


def _loses_little(candidate: Candidate, limit: float, confidence: float | None) -> bool:
    """Whether neither what was lost nor what is expected to be is more; the latter alone counts without labels."""
    accuracy = candidate.accuracy
    lost = None
    if accuracy is not None:
        lost = accuracy.drop_points if confidence is None else accuracy.drop_bound(confidence)
    return max((loss for loss in (lost, candidate.expected_loss) if loss is not None), default=math.inf) <= limit


def _drop_found(fidelity: Fidelity) -> Tile | None:
    accuracy = fidelity.accuracy
    if accuracy is None:
        return None
    note = f"was {accuracy.right_before:,} ({accuracy.change_in_words})"
    return Tile("Right", f"{accuracy.right_after:,} of {accuracy.samples:,}", note)


MAX_DROP: Final = Gate(
    setting="max_drop",
    metavar="POINTS",
    unit="points",
    seeks="Seek the smallest zip that loses no more points of top-1 accuracy (needs labels), or no more of the score "
    "of --metric, or fail.",
    limits="Most points of top-1 accuracy that may be lost (needs labels), or of the score of --metric.",
    meaning="Points of top-1 accuracy that may be lost; with a metric, what its score may lose.",
    least=0,
    needs="labels or metric",
    measure=_drop,
    unasked=_drop_unasked,
    steers=_loses_little,
    found=_drop_found,
    axis=Axis("expected loss, points", lambda candidate: candidate.expected_loss, logarithmic=True),
)


GATES: Final = (MIN_AGREEMENT, MIN_SQNR, MAX_DROP)
"""In the order in which they are judged and listed."""


class Gates:
    """The limits that a user sets, and the confidence in percent at which those on labelled samples must hold."""

    def __init__(self, confidence: float | None = None, **limits: float | None) -> None:
        """limits: by the setting of each gate, in its unit; None where it is not set."""
        unknown = limits.keys() - {gate.setting for gate in GATES}
        if unknown:
            raise TypeError(f"no gate is called {', '.join(sorted(unknown))}")
        self.confidence = confidence
        self._limits = {setting: limit for setting, limit in limits.items() if limit is not None}

    def __iter__(self) -> Iterator[tuple[Gate, float]]:
        """The gates that are set, each with its limit."""
        return ((gate, self._limits[gate.setting]) for gate in GATES if gate.setting in self._limits)

    @property
    def any(self) -> bool:
        """Whether a limit is set."""
        return bool(self._limits)

    @property
    def compare_classes(self) -> bool:
        """Whether a gate takes outputs for scores of classes."""
        return any(gate.needs == "classes" for gate, _ in self)

    @property
    def by_metric(self) -> Gate | None:
        """The gate that labels or a user's own metric decide, if it is set."""
        return next((gate for gate, _ in self if gate.by_metric), None)

    def hold_for(self, candidate: Candidate, score_drop: Callable[[], float] | None = None) -> bool:
        """Whether a candidate of a search keeps all limits.

        score_drop: what it loses of the user's own score, which takes long to say; None if there is none.
        """
        measured = [(gate, limit) for gate, limit in self if score_drop is None or not gate.by_metric]
        if not all(gate.steers(candidate, limit, self.confidence) for gate, limit in measured):
            return False
        return all(score_drop() <= limit for gate, limit in self if gate.by_metric) if score_drop is not None else True
