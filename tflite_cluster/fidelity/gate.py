"""What a gate is: a limit on what a model computes, as one record from which all that knows of it follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from .accuracy import Accuracy
    from .verdict import Fidelity

Unit = Literal["percent", "dB", "points"]
Needs = Literal["outputs", "classes", "labels or metric"]


@dataclass(frozen=True)
class GateOutcome:
    """What became of one gate; `limit` and `measured` in the gate's unit: percent, dB or percentage points."""

    gate: str
    limit: float | None
    measured: float | None
    passed: bool
    why: str


@dataclass(frozen=True)
class Tile:
    """A figure that a page shows large, with a note below it."""

    title: str
    value: str
    note: str = ""


class Candidate(Protocol):
    """What a search measures of a candidate; search.quality.Quality explains each."""

    @property
    def agreement(self) -> float | None:
        """Share (0 to 1) of samples with the same top class; None without class scores."""
        ...

    @property
    def sqnr(self) -> float:
        """SQNR in dB of the worst output."""
        ...

    @property
    def expected_loss(self) -> float | None:
        """Points of accuracy that are expected to be lost; None without class scores."""
        ...

    @property
    def accuracy(self) -> Accuracy | None:
        """Hits and misses, where labels are known."""
        ...


@dataclass(frozen=True)
class Axis:
    """By what a page draws candidates: the value of each in the gate's unit, and whether magnitudes tell them apart."""

    label: str
    value: Callable[[Candidate], float | None]
    logarithmic: bool = False


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate: how it is set, checked, and kept by a search."""

    setting: str
    """Its field in Config."""
    metavar: str
    unit: Unit
    seeks: str
    """Help of the option where a model is searched for."""
    limits: str
    """Help of the option where two models are compared."""
    meaning: str
    """What the setting says, in the schemas."""
    least: float | None = None
    most: float | None = None
    needs: Needs = "outputs"
    """Beside outputs that vary: outputs that hold classes, or the right class of each sample. A user's own
    metric may replace the classes."""
    measure: Callable[[Gate, Fidelity, float, float | None], GateOutcome]
    """Called with a comparison, the limit, and the confidence in percent at which it must hold, if that was asked for.
    Where nothing can be measured, the outcome is that of `unmeasured`."""
    unasked: Callable[[Gate, Fidelity], GateOutcome | None] = lambda *_: None
    """The outcome where a limit is broken that holds unless the user sets another; None where none is."""
    steers: Callable[[Candidate, float, float | None], bool]
    """Whether a candidate of a search keeps the limit, at a confidence as above."""
    found: Callable[[Fidelity], Tile | None]
    """The measure of a comparison, as a page shows it; None where there is none."""
    axis: Axis

    @property
    def name(self) -> str:
        """As in recipes and outcomes: the name of its option without the dashes."""
        return self.setting.replace("_", "-")

    @property
    def option(self) -> str:
        """As on the command line."""
        return f"--{self.name}"

    @property
    def by_metric(self) -> bool:
        """Whether a user's own metric takes the place of labels."""
        return self.needs == "labels or metric"

    def refusal(self, limit: float) -> str | None:
        """Why a limit makes no sense, in words that follow its name; None if it does."""
        if self.unit == "percent" and not 0 <= limit <= 100:
            return f"is a percentage, not {limit}"
        if self.unit == "percent" and 0 < limit < 1:
            return f"is a percentage: write 98 for 98 %, and not {limit}"
        if not math.isfinite(limit):
            return f"must be a finite number, not {limit}"
        if self.least is not None and limit < self.least:
            return f"must be at least {self.least:g}, not {limit}"
        if self.most is not None and limit > self.most:
            return f"must be at most {self.most:g}, not {limit}"
        return None

    def outcome(self, limit: float, measured: float, passed: bool, why: str) -> GateOutcome:
        """What became of it."""
        return GateOutcome(self.name, limit, measured, passed, why)

    def unmeasured(self, limit: float, fidelity: Fidelity, reason: str) -> GateOutcome:
        """The failed gate where nothing can be measured. reason: why, which counts only if the models were compared."""
        if fidelity.status == "skipped":
            reason = "the check was left out"
        elif fidelity.status != "checked":
            reason = fidelity.cause or "the models could not be compared"
        return GateOutcome(self.name, limit, None, False, f"it cannot be measured: {reason}")
