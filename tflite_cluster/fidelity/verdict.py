"""What a fidelity check found, and the verdict on it in one word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from .accuracy import Accuracy
from .gate import GateOutcome
from .gates import GATES

Status = Literal["checked", "not checked", "broken", "skipped"]

Verdict = Literal["verified", "close", "plausible", "unknown", "degraded"]
"""verified: on labelled samples of the user's. close: on samples of the user's. plausible: on synthetic inputs over
which the outputs vary. unknown: not compared, or the outputs say nothing. degraded: a limit does not hold, be it one
that was asked for or one that holds unasked, or the clustered model cannot be run."""

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
"""All verdicts, the best first."""

_NAMES: Final = frozenset(gate.name for gate in GATES)

_LOW_FLOOR: Final = 20.0
"""dB of a noise floor below which the comparison itself is coarse."""

_FEW_OFF_COMMONEST: Final = 3


@dataclass(frozen=True)
class OutputFidelity:
    """One output of the clustered model against the original's; None where a measure does not apply.

    `real`: the output holds real numbers, quantised or not, rather than whole numbers or booleans. `varies`: the
    original's output differs enough from sample to sample for a comparison to say anything. `chosen`: it depends on a
    choice, as that of the best boxes does. `sqnr_db` and `cosine` (-1 to 1) are measured about the mean that each
    element of the original has over the samples, in the slice of the output that does worst, named by `slice` if there
    are several; the SQNR is infinite for identical outputs, and minus infinity where values became NaN. `raw_sqnr_db`
    counts the mean as signal. `max_abs_error` and `rmse` in the output's own unit, over all elements of all samples;
    `kl_divergence` in nats per sample; `agreement` the share (0 to 1) of samples with the same top class, or for
    whole numbers of equal elements; `classified` the samples for which the original names a class, and which
    `agreement` is a share of; `class_changes` the classified samples outside the original's commonest class.
    """

    signature: str | None
    name: str
    samples: int
    real: bool
    varies: bool = True
    chosen: bool = False
    sqnr_db: float | None = None
    slice: str | None = None
    raw_sqnr_db: float | None = None
    cosine: float | None = None
    max_abs_error: float | None = None
    rmse: float | None = None
    kl_divergence: float | None = None
    agreement: float | None = None
    classified: int | None = None
    class_changes: int | None = None
    note: str | None = None

    @property
    def compares_classes(self) -> bool:
        """Whether the agreement says anything: some samples must have other classes than the commonest."""
        if self.agreement is None:
            return False
        if self.class_changes is None:
            return self.varies
        return self.class_changes >= min(_FEW_OFF_COMMONEST, max((self.classified or 0) // 4, 1))


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
    """The original against itself under other kernels, as another device may have them.

    `cause` says why it is missing.
    """

    samples: int
    outputs: tuple[OutputFidelity, ...]
    cause: str | None = None


@dataclass(frozen=True)
class Fidelity:
    """The result of a fidelity check.

    `checked`: both models ran. `not checked`: the original could not be run, for the reason in `cause`. `broken`: the
    original ran and the clustered model did not. `skipped`: not asked for. `basis` says in words which inputs it rests
    on, and `synthetic` that some are synthetic. `score` is that of the user's own metric, if there is one. `note` says
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

    @property
    def verdict(self) -> Verdict:
        """The finding in one word."""
        gates = [gate for gate in self.gates if gate.gate in _NAMES]
        if self.status == "broken" or any(not gate.passed and gate.measured is not None for gate in gates):
            return "degraded"
        if not gates and self.below_limits:
            return "degraded"
        if self.status != "checked" or self.silence is not None or not all(gate.passed for gate in gates):
            return "unknown"
        if self.synthetic:
            return "plausible"
        has_accuracy = self.accuracy is not None and self.accuracy.doubt is None
        return "verified" if has_accuracy or self.score is not None else "close"

    @property
    def silence(self) -> str | None:
        """Why the outputs say nothing, in words, if they do not vary over the samples; None if they do.

        Where others vary, an output may be constant that depends on a choice or holds whole numbers, such as a count.
        """
        if self.status != "checked" or self.score is not None:
            return None
        silent = [output for output in self.outputs if not output.varies]
        may_be = all(output.chosen or not output.real for output in silent)
        if not silent or (len(silent) < len(self.outputs) and may_be):
            return None
        names = ", ".join(self.label(output) for output in silent[:3]) + (", ..." if len(silent) > 3 else "")
        if max(output.samples for output in silent) < 2:
            return f"one sample shows no difference between outputs of {names}: give several with --data"
        verb = "varies" if len(silent) == 1 else "vary"
        return f"{names} hardly {verb} over the samples, so that agreement says nothing: {self.remedy}"

    @property
    def remedy(self) -> str:
        """What to do where the samples say nothing."""
        return "give --data" if self.synthetic else "give other samples"

    @property
    def below_limits(self) -> tuple[GateOutcome, ...]:
        """The limits that hold where the user has set none, as far as they are broken."""
        broken = (gate.unasked(gate, self) for gate in GATES)
        return tuple(outcome for outcome in broken if outcome is not None)

    @property
    def low_floor(self) -> float | None:
        """The noise floor in dB where it is so low that differences below it cannot be seen; else None."""
        floors = [floor for output in self.outputs if (floor := self.floor_of(output)) is not None]
        lowest = min(floors, default=math.inf)
        return lowest if lowest < _LOW_FLOOR else None

    @property
    def worst_sqnr(self) -> tuple[float, str] | None:
        """The lowest SQNR in dB of outputs that depend on no choice, and where it is; None if there is none."""
        judged = [
            (output.sqnr_db, self.place(output))
            for output in self.outputs
            if output.sqnr_db is not None and not output.chosen
        ]
        return min(judged, default=None)

    def label(self, output: OutputFidelity) -> str:
        """The output's name, after its signature's where there are several signatures."""
        several = len({each.signature for each in self.outputs}) > 1
        return f"{output.signature}/{output.name}" if several else output.name

    def place(self, output: OutputFidelity) -> str:
        """The output's name with the slice of it that does worst, if there are several."""
        return self.label(output) + (f", {output.slice}" if output.slice else "")

    def floor_of(self, output: OutputFidelity) -> float | None:
        """SQNR of the original against itself under other kernels, in dB; None if not known."""
        outputs = self.noise_floor.outputs if self.noise_floor is not None else ()
        found = (each.sqnr_db for each in outputs if (each.signature, each.name) == (output.signature, output.name))
        return next(found, None)
