"""All settings with their defaults; nothing else in the package has any."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import numpy.typing as npt

from .errors import ConfigError

Granularity = Literal["tensor", "axis"]
Data: TypeAlias = "str | Path | npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to cluster, how to check, and what must hold. Raises ConfigError on settings that make no sense."""

    clusters: int = 32
    """Most distinct values in a codebook, 2 to 256."""
    granularity: Granularity = "tensor"
    """One codebook for each tensor, or one for each output channel ("axis"), which hardly zips."""
    data: Data | None = None
    """Samples to check fidelity on: a path (.npz, .npy, a folder of .npy), an array, or arrays by input name."""
    check: bool = True
    """Run both models and compare what they compute."""
    min_agreement: float | None = None
    """Percent of samples for which both models must name the same class."""
    min_sqnr: float | None = None
    """Signal-to-noise ratio in dB that every output must keep."""
    max_drop: float | None = None
    """Points of top-1 accuracy that may be lost; needs labels in the data."""
    force: bool = False
    """Replace an existing output, and write one that zips no smaller."""
    measure: bool = True
    """Compress both files to measure what they weigh, and refuse an output that would not zip smaller. Takes longer
    than clustering does."""
    xz: bool = False
    """Measure xz too, which takes longest."""
    seed: int = 0
    """Seed of the synthetic samples."""
    workers: int | None = None
    """Threads that cluster tensors; by default one for each processor. The result does not depend on it."""
    timeout: float | None = None
    """Seconds after which a hanging interpreter is given up; by default long, and longer for large models."""
    memory: int | None = None
    """Bytes that the interpreter may allocate; by default 4 GB and eight times the file."""

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 256:
            raise ConfigError(f"clusters must be between 2 and 256, not {self.clusters}")
        if self.granularity not in ("tensor", "axis"):
            raise ConfigError(f"granularity must be 'tensor' or 'axis', not {self.granularity!r}")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 100:
            raise ConfigError(f"min_agreement is a percentage, not {self.min_agreement}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, but is {self.seed}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be at least 1, not {self.workers}")
        for name in ("min_sqnr", "max_drop", "timeout"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, not {value}")
        for name in ("timeout", "memory"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, not {value}")
        if not self.check and self.has_gates:
            raise ConfigError("min_agreement, min_sqnr and max_drop need the fidelity check, which is switched off")

    @property
    def has_gates(self) -> bool:
        """Whether anything must hold before an output is written."""
        return any(gate is not None for gate in (self.min_agreement, self.min_sqnr, self.max_drop))

    @property
    def threads(self) -> int:
        """Threads that cluster and compress."""
        return self.workers or os.cpu_count() or 1


class Settings(TypedDict, total=False):
    """The fields of Config as keyword arguments, for type checkers; a test holds the two together."""

    clusters: int
    granularity: Granularity
    data: Data | None
    check: bool
    min_agreement: float | None
    min_sqnr: float | None
    max_drop: float | None
    force: bool
    measure: bool
    xz: bool
    seed: int
    workers: int | None
    timeout: float | None
    memory: int | None
