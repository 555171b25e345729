"""What moves a window over images, forward and back: the parts that convolutions and pools share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..window import Window
from .gradient import Floats, Step


def window_of_step(step: Step) -> Window:
    """The window of a step that has one."""
    assert step.window is not None
    return step.window


def padded(values: Floats, window: Window, filling: float) -> Floats:
    """Images (images, height, width, channels) with the margins that the window reaches into."""
    height, width = values.shape[1:3]
    return np.pad(values, ((0, 0), *window.margins((height, width)), (0, 0)), constant_values=filling)


def tap(images: Floats, window: Window, outputs: tuple[int, ...], row: int, column: int) -> Floats:
    """A view of what one place of the window covers: (images, height and width of the outputs, channels)."""
    (y, x), (down, along) = (row * window.dilation[0], column * window.dilation[1]), window.stride
    bottom, right = (
        start + max((size - 1) * step + 1, 0) for start, size, step in ((y, outputs[1], down), (x, outputs[2], along))
    )
    return images[:, y:bottom:down, x:right:along]


def spread(
    window: Window, shape: tuple[int, ...], outputs: tuple[int, ...], through: Callable[[int, int], Floats]
) -> Floats:
    """What comes back to an input of that shape (images, height, width, channels), through each place of the window."""
    (top, bottom), (left, right) = window.margins((shape[1], shape[2]))
    total = np.zeros((shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3]), np.float32)
    for row, column in np.ndindex(window.kernel):
        tap(total, window, outputs, row, column)[...] += through(row, column)
    return total[:, top : top + shape[1], left : left + shape[2]]
