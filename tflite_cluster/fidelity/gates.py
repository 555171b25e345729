"""The user's gates: what must hold before a model is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gates:
    """Limits of the user's: percent of agreement, dB of the worst output, points of top-1 accuracy or what the user's
    own score may lose, and at which confidence in percent that must hold. None where a limit is not set.
    """

    min_agreement: float | None = None
    min_sqnr: float | None = None
    max_drop: float | None = None
    confidence: float | None = None

    @property
    def any(self) -> bool:
        """Whether a limit is set."""
        return any(limit is not None for limit in (self.min_agreement, self.min_sqnr, self.max_drop))
