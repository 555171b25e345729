"""What a fidelity check found, and what the user's gates make of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, cast

Status = Literal["checked", "not checked", "broken", "skipped"]


@dataclass(frozen=True)
class OutputFidelity:
    """One output of the clustered model against the original's; None where a measure does not apply.

    `real`: the output holds real numbers, quantised or not, rather than whole numbers or booleans.
    `sqnr_db` is infinite for identical outputs, and minus infinity where values became NaN or the signal was zero;
    `cosine` in -1 to 1, `max_abs_error` and `rmse` in the output's own unit, over all elements of all samples;
    `kl_divergence` in nats per sample; `agreement` the share (0 to 1) of samples with the same top class, or for
    whole numbers of equal elements; `classified` the samples for which the original names a class, of which that is.
    """

    signature: str | None
    name: str
    samples: int
    real: bool
    sqnr_db: float | None = None
    cosine: float | None = None
    max_abs_error: float | None = None
    rmse: float | None = None
    kl_divergence: float | None = None
    agreement: float | None = None
    classified: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy on labelled samples, as shares (0 to 1)."""

    output: str
    samples: int
    before: float
    after: float

    @property
    def drop_points(self) -> float:
        """What was lost, in percentage points; negative if the clustered model does better."""
        return 100 * (self.before - self.after)

    @property
    def change_points(self) -> float:
        """What was gained, in percentage points; negative if the clustered model does worse."""
        return 100 * (self.after - self.before)


@dataclass(frozen=True)
class Score:
    """What the user's own metric makes of both models, in its own unit; higher is better."""

    metric: str
    before: float
    after: float

    @property
    def drop(self) -> float:
        """What was lost; negative if the clustered model does better."""
        return self.before - self.after


@dataclass(frozen=True)
class NoiseFloor:
    """The original against itself under other kernels: no check can be finer. `cause` says why it is missing."""

    samples: int
    outputs: tuple[OutputFidelity, ...]
    cause: str | None = None


@dataclass(frozen=True)
class GateOutcome:
    """What became of one gate; `limit` and `measured` in the gate's unit: percent, dB or percentage points."""

    gate: str
    limit: float | None
    measured: float | None
    passed: bool
    why: str


@dataclass(frozen=True)
class Fidelity:
    """The result of a fidelity check.

    `checked`: both models ran. `not checked`: the original could not be run, for the reason in `cause`. `broken`: the
    original ran and the clustered model did not. `skipped`: not asked for. `basis` says in words which inputs it rests
    on, and `synthetic` that some were made up. `score` is that of the user's own metric, if there is one. `note` says
    why there is no accuracy in spite of labels.
    """

    status: Status
    cause: str | None = None
    basis: str | None = None
    synthetic: bool = False
    outputs: tuple[OutputFidelity, ...] = ()
    accuracy: Accuracy | None = None
    score: Score | None = None
    note: str | None = None
    noise_floor: NoiseFloor | None = None
    gates: tuple[GateOutcome, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the clustered model is not broken and no gate failed; without gates, nothing more is asked of it."""
        return self.status != "broken" and all(gate.passed for gate in self.gates)

    def label(self, output: OutputFidelity) -> str:
        """The output's name, after its signature's where there are several signatures."""
        several = len({each.signature for each in self.outputs}) > 1
        return f"{output.signature}/{output.name}" if several else output.name

    def floor_of(self, output: OutputFidelity) -> float | None:
        """SQNR of the original against itself under other kernels, in dB; None if not known."""
        outputs = self.noise_floor.outputs if self.noise_floor is not None else ()
        found = (each.sqnr_db for each in outputs if (each.signature, each.name) == (output.signature, output.name))
        return next(found, None)


def judge(
    fidelity: Fidelity,
    min_agreement: float | None = None,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
) -> Fidelity:
    """Add the outcome of each gate that is set: percent of agreement, dB of the worst output, points of top-1 accuracy,
    or what the user's own score may lose.

    A gate that cannot be measured fails. A broken model fails even if no gate is set.
    """
    gates: list[GateOutcome] = []
    if fidelity.status == "broken":
        gates.append(GateOutcome("runs", None, None, False, fidelity.cause or "the clustered model cannot be run"))
    if min_agreement is not None:
        gates.append(_agreement_gate(fidelity, min_agreement))
    if min_sqnr is not None:
        gates.append(_sqnr_gate(fidelity, min_sqnr))
    if max_drop is not None:
        gates.append(_drop_gate(fidelity, max_drop))
    return dataclasses.replace(fidelity, gates=tuple(gates))


def _agreement_gate(fidelity: Fidelity, limit: float) -> GateOutcome:
    agreements = [
        (output.agreement, fidelity.label(output)) for output in fidelity.outputs if output.agreement is not None
    ]
    if fidelity.status != "checked" or not agreements:
        return _unmeasured("min-agreement", limit, fidelity, "no output holds class scores or whole numbers")
    agreement, name = min(agreements)
    why = f"the models agree on {100 * agreement:.2f} % of {name}, and {limit:g} % is asked for"
    return GateOutcome("min-agreement", limit, 100 * agreement, 100 * agreement >= limit, why)


def _sqnr_gate(fidelity: Fidelity, limit: float) -> GateOutcome:
    real = [output for output in fidelity.outputs if output.real]
    if fidelity.status != "checked" or not real:
        return _unmeasured("min-sqnr", limit, fidelity, "no output holds real numbers")
    for output in real:
        if output.sqnr_db is None:
            why = f"the SQNR of {fidelity.label(output)} cannot be measured: {output.note or 'it has no values'}"
            return GateOutcome("min-sqnr", limit, None, False, why)
    sqnr, name = min((cast(float, output.sqnr_db), fidelity.label(output)) for output in real)
    why = f"the SQNR of {name} is {sqnr:.2f} dB, and {limit:g} dB is asked for"
    return GateOutcome("min-sqnr", limit, sqnr, sqnr >= limit, why)


def _drop_gate(fidelity: Fidelity, limit: float) -> GateOutcome:
    if fidelity.score is not None:
        return _score_gate(fidelity.score, limit)
    accuracy = fidelity.accuracy
    if fidelity.status != "checked" or accuracy is None:
        reason = fidelity.note or "it takes data with labels, and an output with scores for each class"
        return _unmeasured("max-drop", limit, fidelity, reason)
    drop = accuracy.drop_points
    change = "does not change" if abs(drop) < 0.005 else f"changes by {-drop:+.2f} points"
    why = f"top-1 accuracy {change}, and {limit:g} may be lost"
    # Shares of the same count of samples differ by rounding alone where the counts of hits do not.
    return GateOutcome("max-drop", limit, drop, drop <= limit + 1e-9, why)


def _score_gate(score: Score, limit: float) -> GateOutcome:
    why = f"the score of {score.metric} changes from {score.before:.6g} to {score.after:.6g}, and {limit:g} may be lost"
    return GateOutcome("max-drop", limit, score.drop, score.drop <= limit + 1e-9, why)


def _unmeasured(gate: str, limit: float, fidelity: Fidelity, reason: str) -> GateOutcome:
    if fidelity.status == "skipped":
        reason = "the check was left out"
    elif fidelity.status != "checked":
        reason = fidelity.cause or "the models could not be compared"
    return GateOutcome(gate, limit, None, False, f"it cannot be measured: {reason}")
