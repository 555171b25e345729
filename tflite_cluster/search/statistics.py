"""What calibration observed of a layer, and how far it is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..calibration.moments import Moments
from ..clustering.coupling import Coupling
from ..clustering.feedback import shrunk


@dataclass(frozen=True)
class Shrinkage:
    """How far second moments of few samples are drawn toward their mean diagonal."""

    observations_per_sample: int
    """Independent observations that a sample counts as."""
    floor: float
    """Share of the mean diagonal that is added to Hessians."""
    shifts_biases: bool
    """Whether biases may make up for mean errors."""

    def observations(self, moments: Moments, samples: int) -> int:
        """Independent observations that moments count as, which come from so many samples."""
        return min(moments.count, samples * self.observations_per_sample)


REAL: Final = Shrinkage(observations_per_sample=16, floor=0.01, shifts_biases=True)
SYNTHETIC: Final = Shrinkage(observations_per_sample=4, floor=0.1, shifts_biases=False)
"""Synthetic inputs have means of their own, so a bias fitted to them can ruin a model."""


@dataclass(frozen=True)
class Statistics:
    """Second moments of a layer, and the number of samples that each comes from."""

    moments: Moments | None
    """Of the layer's input."""
    samples: int
    gradients: Moments | None
    """Of the gradients at the layer's output."""
    gradient_samples: int
    shrinkage: Shrinkage

    @property
    def coupling(self) -> Coupling | None:
        """How errors of different rows act together on the outputs, if that was observed."""
        if self.gradients is None:
            return None
        observations = self.shrinkage.observations(self.gradients, self.gradient_samples)
        return Coupling.of(shrunk(self.gradients.hessian, observations, self.shrinkage.floor)[0])


NOTHING_OBSERVED: Final = Statistics(None, 0, None, 0, SYNTHETIC)
