"""What is to be clustered, and how: handed along from a run to its search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..model.analysis import Analysis
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.verify import Span
from ..model.weight import Weight
from ..progress import Progress
from .base import Base
from .encodings import Encode


@dataclass(frozen=True)
class Task:
    """The weights to cluster into a copy of the model."""

    analysis: Analysis
    original: Path
    """The model's file."""
    copy: PatchedCopy
    weights: Mapping[int, Weight]
    """By their number in the model."""
    encode: Encode
    """How each is to be written."""
    clusters: Mapping[Span, int]
    """Most distinct values of the weights for which that is fixed, by place."""
    seed: int
    threads: int
    progress: Progress
    base: Base | None = None
    """The last release, which weights are kept close to."""

    @property
    def model(self) -> Model:
        """The model to cluster."""
        return self.analysis.model
