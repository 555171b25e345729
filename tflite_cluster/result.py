"""What a run did, as data: the same for the terminal table, the JSON report and the Python caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .config import Config
from .errors import TfliteClusterError
from .fidelity.verdict import Fidelity
from .search.base import Unmatched
from .search.points import Search

Role = Literal["weight", "bias", "constant"]


@dataclass(frozen=True)
class SpanWritten:
    """Bytes [start, stop) of the input that were rewritten; other bytes may stand in their place if stored as codes."""

    start: int
    stop: int


@dataclass(frozen=True)
class CodesWritten:
    """How a float weight is stored as codes: their type, and the number of their scales."""

    type: str
    scales: int


@dataclass(frozen=True)
class TensorResult:
    """One weight tensor, a bias that was fitted to the new weights, or another constant, and what became of it."""

    name: str
    operator: str
    """Operators that use it, as words."""
    type: str
    shape: tuple[int, ...]
    bytes: int
    reason: str | None = None
    """Why it was left alone; None if it was changed."""
    values_before: int | None = None
    values_after: int | None = None
    sqnr: float | None = None
    """Of the real weights, in dB; infinite if nothing changed."""
    bits_before: float | None = None
    bits_after: float | None = None
    """Bits that deflate (level 6) spends on each weight."""
    span: SpanWritten | None = None
    scales: tuple[SpanWritten, ...] = ()
    """Where its scales, the ranges they stand for and the scales of the bias beside it stand, as far as rewritten."""
    role: Role = "weight"
    bits_as_codes: float | None = None
    """Bits it would spend if the same values were stored as int8 codes; None if they cannot be, or already are."""
    stored: CodesWritten | None = None
    """The codes that stand for it in the new file; `values_after` counts those. None if it keeps its type."""
    keeps_type: str | None = None
    """Why a weight that was changed keeps its type although codes are asked for."""

    @property
    def clustered(self) -> bool:
        """Whether it is a weight, and was changed."""
        return self.role == "weight" and self.reason is None


@dataclass(frozen=True)
class SizePair:
    """Bytes before and after; both measured."""

    before: int
    after: int

    @property
    def ratio(self) -> float:
        """How many times smaller."""
        return self.before / self.after


@dataclass(frozen=True)
class Sizes:
    """The whole file itself and by each coder that was measured, gzip6 and zip9 always among them."""

    file: SizePair
    packed: Mapping[str, SizePair]

    @property
    def gzip6(self) -> SizePair:
        """By gzip at level 6, which is what app stores count."""
        return self.packed["gzip6"]

    @property
    def zip9(self) -> SizePair:
        """By zip at level 9."""
        return self.packed["zip9"]

    @property
    def xz(self) -> SizePair | None:
        """By xz; None where it was not asked for."""
        return self.packed.get("xz")


@dataclass(frozen=True)
class Estimate:
    """Bytes that the file and its zip (level 9) would take, not measured, and how many times smaller the zip would be
    than the original's.
    """

    file: int
    zip9: int
    ratio: float


@dataclass(frozen=True)
class Benchmark:
    """Speed and memory of both models, measured by turns.

    seconds: one run, the median of the rounds. ratio: after to before, the median of that within each round. memory:
    the most bytes taken for the model and its runs, None where the system does not say. threads: of the interpreter.
    """

    seconds_before: float
    seconds_after: float
    ratio: float
    memory_before: int | None
    memory_after: int | None
    rounds: int
    threads: int


@dataclass(frozen=True)
class Update:
    """A new model beside its last release.

    base: the file of the last release. matched: number of weights that were kept close to it. unmatched: the others.
    """

    base: str
    matched: int
    unmatched: tuple[Unmatched, ...]
    patches: Mapping[str, int | None] | None
    """Bytes of the patch to the new model by each differ, None for one that is not installed or takes too long; None
    for all if sizes were not to be measured."""


@dataclass(frozen=True)
class Strategy:
    """How the model was clustered, in words, and the search if there was one."""

    words: str
    search: Search | None = None
    left_out: tuple[str, ...] = ()
    """What was not done that usually is, and why, in words."""


@dataclass(frozen=True)
class Result:
    """A finished run. `model` is the new file's content if no destination was given."""

    source: str
    destination: Path | None
    config: Config
    tensors: tuple[TensorResult, ...]
    """The weights in the order of their numbers in the search, then other constants."""
    strategy: Strategy
    sizes: Sizes | None
    """None if they were not to be measured."""
    fidelity: Fidelity
    accelerator: str | None = None
    """What the model was compiled for, if it was: such a model holds its weights where they cannot be clustered."""
    benchmark: Benchmark | None = None
    """None if it was not asked for, or if the models cannot be run."""
    update: Update | None = None
    """None if no last release was given."""
    if_stored: Estimate | None = None
    """What storing the float weights as int8 codes would make of the same values; None if nothing smaller."""
    model: bytes | None = field(default=None, repr=False)

    @property
    def spans(self) -> tuple[SpanWritten, ...]:
        """All that differs from the input, in order."""
        written = [span for tensor in self.tensors for span in (tensor.span, *tensor.scales) if span is not None]
        return tuple(sorted(written, key=lambda span: span.start))


class NotSmallerError(TfliteClusterError):
    """The clustered model would not zip smaller, or too little for what changes, so that nothing was written; `result`
    tells the rest.
    """

    exit_code = 98

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class FidelityError(TfliteClusterError):
    """A fidelity gate tripped or could not be measured, so that nothing was written; `result` tells the rest."""

    exit_code = 99

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
