"""The window that a convolution or a pool moves over its input, as the operator's options give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tflite


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution, (height, width) each; `same` padding as TensorFlow defines it, else valid."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    same: bool

    def margins(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding before and after along each axis, for an input of that size."""
        if not self.same:
            return (0, 0), (0, 0)
        total = [
            max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
            for length, kernel, stride, dilation in zip(size, self.kernel, self.stride, self.dilation, strict=True)
        ]
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)

    def outputs(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the output for an input of that size; 0 where the kernel does not fit."""
        rows, columns = (
            max((length + sum(margin) - (kernel - 1) * dilation - 1) // stride + 1, 0)
            for length, margin, kernel, stride, dilation in zip(
                size, self.margins(size), self.kernel, self.stride, self.dilation, strict=True
            )
        )
        return rows, columns


def window_of(options: Any, shape: tuple[int, ...]) -> Window | None:
    """The window of a convolution with weights of that shape; None if that makes no sense, or without options."""
    if options is None or len(shape) != 4:
        return None
    dilation = options.DilationHFactor(), options.DilationWFactor()
    return _sound(Window((shape[1], shape[2]), _stride(options), dilation, _is_same(options)))


def pool_window_of(options: Any) -> Window | None:
    """The window of a pooling operator; None if that makes no sense, or without options."""
    if options is None:
        return None
    return _sound(Window((options.FilterHeight(), options.FilterWidth()), _stride(options), (1, 1), _is_same(options)))


def _stride(options: Any) -> tuple[int, int]:
    return options.StrideH(), options.StrideW()


def _is_same(options: Any) -> bool:
    return bool(options.Padding() == tflite.Padding.SAME)


def _sound(window: Window) -> Window | None:
    return window if min(*window.kernel, *window.stride, *window.dilation) >= 1 else None
