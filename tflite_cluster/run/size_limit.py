"""How small the new model has to be, and which bytes are counted: those of a coder, or of a chip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import InterpreterFailure
from ..fidelity.gate import GateOutcome
from ..packing.sizes import SizeMeasure, measure_by_coder
from ..targets.chips import find_chip


@dataclass(frozen=True)
class SizeLimit:
    """The largest size that is allowed, in bytes, and how size is measured."""

    most: int
    measure: SizeMeasure

    def fits(self, model: Path) -> bool:
        """Whether the model in a file is small enough; raises InterpreterFailure if it cannot be measured."""
        return self.measure.size(model) <= self.most

    def outcome(self, model: Path) -> GateOutcome:
        """What became of the limit."""
        try:
            size = self.measure.size(model)
        except InterpreterFailure as failure:
            return GateOutcome("max-size", self.most, None, False, f"it cannot be measured: {failure.cause}")
        fits = size <= self.most
        where = "" if fits else " in the smallest candidate"
        words = f"the {self.measure.what} takes {size:,} bytes{where}, and {self.most:,} are asked for"
        return GateOutcome("max-size", self.most, size, fits, words)


def find_size_limit(original: Path, config: Config) -> SizeLimit | None:
    """The limit of the settings; None if they have none.

    Raises ConfigError if a coder is named beside a chip, or if the chip's tools find nothing to count.
    """
    if config.max_size is None:
        return None
    if config.target is None:
        measure = measure_by_coder(original, config.coder)
    else:
        measure = find_chip(config.target).measure(original)
        config.refuse(("coder",), f"with <target> {config.target}, <max_size> counts the {measure.what}")
    return SizeLimit(config.size_limit(measure.before) or 0, measure)
