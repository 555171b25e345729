"""Float weights on a uniform grid of int8 codes: the least squared error at a price per bit.

One step serves the whole tensor, so that equal codes are equal values and zip well; only a row whose largest weight
would need more than 127 steps gets a wider one of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from .feedback import Feedback
from .histogram import Array, Histogram, Reals
from .rate import Matrix, Priced, cluster_to_count, feedback_gain, mean_change

LARGEST: Final = 127
"""Codes reach from -127 to 127: -128 would have no counterpart."""

_LOWEST: Final = -128
"""Of integer weights that hold it."""

_STEP_OF_PRICE: Final = math.sqrt(6 / math.log(2))
"""A uniform grid of step s pays s² ln(2) / 6 in squared error for its last bit, where there are many values."""

_STEPS: Final = 2.0 ** (np.arange(-6, 7) / 6)
"""Steps to try, as multiples of that: where there are few values, another one is better."""

_CHEAPER: Final = 0.7


@dataclass(frozen=True)
class OnGrid:
    """A tensor on its grid: real value = scale x code.

    codes: (rows, columns). scale: (1,), or one for each channel where some channel is widened. entropy: bits per
    weight. error: squared real error of rounding to the nearest, which feedback trades for a smaller one of the output.
    mean_change: how the mean of each output row changes, (rows,), if known. gain: what feedback saves, in dB of the
    output's error; None without feedback.
    """

    codes: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    entropy: float
    error: float
    mean_change: Array | None
    gain: float | None

    @property
    def priced(self) -> Priced:
        """What it comes to in real values."""
        return Priced(self.values, self.entropy, self.error, self.mean_change, self.gain)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The real values, (rows, columns), in float32 as kernels compute them."""
        step = np.repeat(self.scale, len(self.codes) // len(self.scale))
        return self.codes * step[:, None]


def grid_of_count(matrix: Matrix, clusters: int) -> OnGrid:
    """Put float weights (rows, columns) on the best values for their number, out of 255 with a step between them."""
    scale = _scale(0.0, np.abs(matrix.codes).max(keepdims=True).astype(np.float64).reshape(1))
    step = float(scale[0])

    def on_grid(values: Array) -> Array:
        return np.clip(np.rint(values / step), -LARGEST, LARGEST) * step

    found = cluster_to_count(replace(matrix, representable=on_grid, well_packed=None), clusters)
    codes = np.rint(found.codes / scale[0]).astype(np.int8)
    return OnGrid(codes, scale, found.entropy, found.error, found.mean_change, found.gain)


def grid_at_price(matrix: Matrix, price: float, channels: int, finest: Array | None = None) -> OnGrid:
    """Put float weights (rows, columns) on a grid at a price in squared units per bit, above 0.

    Rows fall into `channels` equal runs, each of which can have a scale. The price is lowered where the tensor would
    lose too much. finest: the scale of each channel, (channels,), of weights that are int8 codes; no other is finer.
    """
    height = len(matrix.codes) // channels
    largest = np.abs(matrix.codes).reshape(channels, -1).max(axis=1).astype(np.float64)
    least = matrix.power * 10 ** (-matrix.least_sqnr / 10)
    is_full = finest is not None and bool(np.any(largest > (LARGEST + 0.5) * finest))
    lowest = _LOWEST if is_full else -LARGEST
    while True:
        best = _step(matrix.histogram, price)
        scale = _scale(best, largest) if finest is None else np.maximum(best, finest).astype(np.float32)
        step = np.repeat(scale, height)[:, None]
        values = matrix.codes.astype(np.float32) / step
        codes = np.clip(np.rint(values), lowest, LARGEST)
        error = float(np.sum(np.square((values - codes) * step, dtype=np.float64)))
        if error <= least or price <= least * 1e-12:
            break
        price *= _CHEAPER
    gain = None
    if matrix.feedback is not None:
        aim, rounded = matrix.codes if matrix.drift is None else matrix.drift.target, codes * step
        codes = _with_feedback(matrix, matrix.feedback, aim, step[:, 0].astype(np.float64), lowest)
        gain = feedback_gain(matrix, rounded, codes * step)
    change = mean_change(matrix, matrix.codes, codes.astype(np.float32) * step)
    alike = bool(np.all(scale == scale[0]))
    found = codes.astype(np.int8)
    return OnGrid(found, scale[:1] if alike else scale, _entropy(found), error, change, gain)


def _step(histogram: Histogram, price: float) -> float:
    """The step with the least squared error + price x bits."""
    steps = _STEPS * _STEP_OF_PRICE * math.sqrt(price)
    return float(min(steps, key=lambda step: _cost(histogram, float(step), price)))


def _cost(histogram: Histogram, step: float, price: float) -> float:
    cells = np.rint(histogram.values / step)
    error = float(histogram.weights @ (histogram.values - cells * step) ** 2)
    first = np.flatnonzero(np.append(True, np.diff(cells) > 0))
    mass = np.add.reduceat(histogram.weights, first)
    return error - price * float(mass @ np.log2(mass / mass.sum()))


def _scale(step: float, largest: Array) -> npt.NDArray[np.float32]:
    """The step of each row, rounded up to float32, so that the largest weight has a code."""
    scale = np.maximum(step, largest / LARGEST).astype(np.float32)
    return np.where(scale * LARGEST < largest, np.nextafter(scale, np.float32(np.inf)), scale)


def _with_feedback(matrix: Matrix, feedback: Feedback, aim: Reals, step: Array, lowest: int) -> Array:
    """Codes from `lowest` on for what is aimed at, (rows, columns), with each row's step, (rows,)."""
    values = (aim / step[:, None]).astype(np.float32)
    reach = float(np.ceil(np.abs(values).max())) + 1  # what is fed back may lead one step further
    grid = np.arange(max(-reach, lowest), min(reach, LARGEST) + 1)
    codes: Array = grid[feedback.assign(values, grid, step, matrix.zeros)]
    return codes


def _entropy(codes: npt.NDArray[np.int8]) -> float:
    shares = np.bincount(codes.reshape(-1).astype(np.intp) - _LOWEST) / codes.size
    return -float(np.sum(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))))
