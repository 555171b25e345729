"""Pools over a window, and the mean over axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import tflite

from ..window import pool_window_of
from .gradient import Floats, Gradient, Step, Values, with_activation
from .record import OperatorRecord
from .windows import padded, spread, tap, window_of_step


def _prepare(options: Any, step: Step) -> Step | None:
    window = pool_window_of(options)
    return with_activation(options, replace(step, window=window)) if window is not None else None


def _average_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """Padding does not count."""
    shape = values.stored(step.operand(0)).shape
    window = window_of_step(step)
    whole = padded(np.ones((1, *shape[1:3], 1), np.float32), window, 0.0)
    count = np.zeros(gradient.shape[1:3], np.float32)
    for row, column in np.ndindex(window.kernel):
        count += tap(whole, window, gradient.shape, row, column)[0, ..., 0]
    share = gradient / count[:, :, None]
    return [spread(window, shape, gradient.shape, lambda _row, _column: share)]


def _largest_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    """To the places that hold the largest value; all of them where several do."""
    source, found = values.real(step.operand(0)), values.real(step.output)
    window = window_of_step(step)
    images = padded(source, window, -np.inf)

    def through(row: int, column: int) -> Floats:
        return np.asarray(gradient * (tap(images, window, gradient.shape, row, column) == found))

    return [spread(window, source.shape, gradient.shape, through)]


def _mean_back(values: Values, step: Step, gradient: Floats) -> list[Floats]:
    shape = values.stored(step.operand(0)).shape
    axes = {int(axis) % max(len(shape), 1) for axis in values.stored(step.operand(1)).reshape(-1)}
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    share = gradient.reshape(kept) * np.float32(np.prod(kept) / np.prod(shape))
    return [np.broadcast_to(share, shape)]


RECORDS: Final = (
    OperatorRecord("AVERAGE_POOL_2D", tflite.Pool2DOptions, gradient=Gradient(_average_back, _prepare)),
    OperatorRecord("MAX_POOL_2D", tflite.Pool2DOptions, gradient=Gradient(_largest_back, _prepare)),
    OperatorRecord("MEAN", gradient=Gradient(_mean_back)),
)
