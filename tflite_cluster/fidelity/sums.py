"""How far two models' outputs differ, element by element about the mean, summed up sample by sample.

What is the same for every sample says nothing about whether a model still computes the same: a regressor that gives
300 ± 1 would show a ratio of 50 dB for an error as large as all that it tells. So signal and error are measured about
the mean that each element of the original's output has over the samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

ROUNDING = 1e-6
"""Standard deviation relative to the mean up to which an element counts as constant: float32 rounds that much."""

_MOST_KEPT = 4096, 1000
"""How many elements and samples have their values kept, to see over how many samples the signal is spread."""

_LEAST_SAMPLES = 3.0
"""Samples over which the signal must be spread, in effect, to be judged; three quarters of them where they are few."""


@dataclass(frozen=True)
class Difference:
    """What a group of elements shows: energies (sums of squares) of the signal, of the other model and of the error,
    and the product of both models, all about the original's mean.
    """

    signal: float
    energy: float
    product: float
    error: float

    @property
    def sqnr_db(self) -> float:
        """Signal-to-error ratio in dB: infinite without error, minus infinity without signal."""
        if self.error == 0:
            return math.inf
        is_measured = self.signal > 0 and math.isfinite(self.error)
        return 10 * math.log10(self.signal / self.error) if is_measured else -math.inf

    @property
    def cosine(self) -> float:
        """Cosine similarity, -1 to 1."""
        if self.error == 0:
            return 1.0
        norms = math.sqrt(self.signal) * math.sqrt(self.energy)
        return max(-1.0, min(1.0, self.product / norms)) if norms > 0 else 0.0


@dataclass
class CentredSums:
    """Sums over samples for elements of a fixed count: original x and other model y, both less a fixed offset.

    The offset is the first sample, which keeps the sums exact where the mean is far larger than the signal.
    """

    elements: int
    _offset: Reals | None = None
    _count: Reals = field(init=False)
    _x: Reals = field(init=False)
    _y: Reals = field(init=False)
    _xx: Reals = field(init=False)
    _xy: Reals = field(init=False)
    _error: Reals = field(init=False)
    _kept: list[npt.NDArray[np.float32]] = field(default_factory=list[npt.NDArray[np.float32]])

    def __post_init__(self) -> None:
        self._count, self._x, self._y, self._xx, self._xy, self._error = np.zeros((6, self.elements))
        most = _MOST_KEPT[0]
        generator = np.random.default_rng(self.elements)
        few = self.elements <= most
        self._places = (
            np.arange(self.elements) if few else np.sort(generator.choice(self.elements, most, replace=False))
        )

    def add(self, before: Reals, after: Reals, usable: npt.NDArray[np.bool_]) -> None:
        """Add one sample of both models, (rows, elements); elements that are not usable do not count."""
        if self._offset is None:
            finite = np.where(usable, before, 0.0)
            self._offset = finite.sum(0) / np.maximum(usable.sum(0), 1)
        x = np.where(usable, before - self._offset, 0.0)
        y = np.where(usable, after - self._offset, 0.0)
        self._count += usable.sum(0)
        self._x += x.sum(0)
        self._y += y.sum(0)
        self._xx += np.sum(x * x, 0)
        self._xy += np.sum(x * y, 0)
        self._error += np.sum((y - x) ** 2, 0)
        if len(x) and len(self._kept) < _MOST_KEPT[1]:
            self._kept.append(x[:, self._places].mean(0).astype(np.float32))

    def pooled(self, elements: int) -> CentredSums:
        """The same sums for the last axis alone, or (1) for all elements together, to go on with where shapes vary."""
        found = CentredSums(elements)
        if self._offset is None:
            return found
        offset = self._offset.reshape(-1, elements)
        found._offset = offset.mean(0) if len(offset) else np.zeros(elements)
        shift = (offset - found._offset).reshape(-1)
        moved = {
            "_count": self._count,
            "_x": self._x + self._count * shift,
            "_y": self._y + self._count * shift,
            "_xx": self._xx + 2 * shift * self._x + self._count * shift**2,
            "_xy": self._xy + shift * (self._x + self._y) + self._count * shift**2,
            "_error": self._error,
        }
        for name, sums in moved.items():
            setattr(found, name, sums.reshape(-1, elements).sum(0))
        return found

    @property
    def deviation(self) -> Reals:
        """Standard deviation of each element of the original over the samples; 0 where only rounding varies."""
        count = np.maximum(self._count, 1)
        deviation: Reals = np.sqrt(np.maximum(self._xx - self._x**2 / count, 0.0) / count)
        offset = np.zeros(self.elements) if self._offset is None else self._offset
        deviation[deviation <= ROUNDING * np.abs(offset + self._x / count)] = 0.0
        return deviation

    def difference(self, members: npt.NDArray[np.bool_]) -> Difference:
        """The energies of some of the elements together."""
        count = np.maximum(self._count[members], 1)
        x, y, xx, xy, error = (sums[members] for sums in (self._x, self._y, self._xx, self._xy, self._error))
        mean = x / count
        yy = error + 2 * xy - xx
        signal = np.maximum(xx - x * mean, 0.0)
        signal[self.deviation[members] == 0] = 0.0
        return Difference(
            signal=float(signal.sum()),
            energy=float(np.maximum(yy - 2 * mean * y + count * mean**2, 0.0).sum()),
            product=float((xy - mean * y - mean * x + count * mean**2).sum()),
            error=float(error.sum()),
        )

    @property
    def total(self) -> Difference:
        """The energies of all elements together; where none varies, those with the mean counted as signal."""
        found = self.difference(np.ones(self.elements, dtype=bool))
        if found.signal > 0 or self._offset is None:
            return found
        power = float(np.sum(self._xx + 2 * self._offset * self._x + self._count * self._offset**2))
        return replace(found, signal=power)

    def is_spread(self, members: npt.NDArray[np.bool_]) -> bool:
        """Whether the signal of some elements comes from enough samples to tell anything."""
        chosen = members[self._places] & (self.deviation[self._places] > 0)
        if not chosen.any():
            return bool((self.deviation[members] > 0).any()) and not members[self._places].any()
        kept = np.stack([values[chosen] for values in self._kept]).astype(np.float64)
        return effective_samples(kept) >= least_samples(len(kept))


def least_samples(samples: int) -> float:
    """Over how many of so many samples a signal must be spread to say anything."""
    return min(_LEAST_SAMPLES, 0.75 * samples) if samples > 1 else math.inf


def effective_samples(values: Reals) -> float:
    """Over how many samples the energy about the mean is spread: all if each has as much, 1 if one has it all.

    values: (samples, elements).
    """
    energy = np.sum((values - values.mean(0)) ** 2, axis=1)
    total = float(energy.sum())
    return total**2 / float(np.sum(energy**2)) if total > 0 else 0.0
