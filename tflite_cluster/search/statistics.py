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

    def coupling(self, gradients: Moments, samples: int) -> Coupling:
        """How errors of different rows act together on the outputs.

        gradients: moments at the layer's output, from so many samples.
        """
        return Coupling.of(shrunk(gradients.hessian, self.observations(gradients, samples), self.floor)[0])


REAL: Final = Shrinkage(observations_per_sample=16, floor=0.01, shifts_biases=True)
SYNTHETIC: Final = Shrinkage(observations_per_sample=4, floor=0.1, shifts_biases=False)
"""Synthetic inputs have means of their own, so a bias fitted to them can ruin a model."""


@dataclass(frozen=True)
class Statistics:
    """Second moments of a layer's input, and the number of samples that they come from."""

    moments: Moments | None
    samples: int
    shrinkage: Shrinkage


NOTHING_OBSERVED: Final = Statistics(None, 0, SYNTHETIC)
