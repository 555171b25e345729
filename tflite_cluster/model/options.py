"""What an operator's options say: the table itself, and the geometry of the window that it moves over its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import tflite

from .read import Operator

_TABLES: Final = {
    "ADD": tflite.AddOptions,
    "AVERAGE_POOL_2D": tflite.Pool2DOptions,
    "BATCH_MATMUL": tflite.BatchMatMulOptions,
    "BIDIRECTIONAL_SEQUENCE_LSTM": tflite.BidirectionalSequenceLSTMOptions,
    "BIDIRECTIONAL_SEQUENCE_RNN": tflite.BidirectionalSequenceRNNOptions,
    "CONCATENATION": tflite.ConcatenationOptions,
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": tflite.FullyConnectedOptions,
    "GATHER": tflite.GatherOptions,
    "LEAKY_RELU": tflite.LeakyReluOptions,
    "MAX_POOL_2D": tflite.Pool2DOptions,
    "MUL": tflite.MulOptions,
    "SOFTMAX": tflite.SoftmaxOptions,
    "SUB": tflite.SubOptions,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": tflite.UnidirectionalSequenceLSTMOptions,
    "UNIDIRECTIONAL_SEQUENCE_RNN": tflite.SequenceRNNOptions,
}


def options_of(operator: Operator) -> Any:
    """The table of an operator's options; None if it has none, or those of another operator."""
    reader = _TABLES[operator.name]
    table = operator.table.BuiltinOptions()
    if table is None or operator.table.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, reader.__name__):
        return None
    options = reader()
    options.Init(table.Bytes, table.Pos)
    return options


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


def window_of(operator: Operator, shape: tuple[int, ...]) -> Window | None:
    """The window of a convolution with weights of that shape; None if that makes no sense."""
    options = options_of(operator)
    if options is None or len(shape) != 4:
        return None
    dilation = options.DilationHFactor(), options.DilationWFactor()
    return _sound(Window((shape[1], shape[2]), _stride(options), dilation, _is_same(options)))


def pool_window_of(operator: Operator) -> Window | None:
    """The window of a pooling operator; None if that makes no sense."""
    options = options_of(operator)
    if options is None:
        return None
    return _sound(Window((options.FilterHeight(), options.FilterWidth()), _stride(options), (1, 1), _is_same(options)))


def _stride(options: Any) -> tuple[int, int]:
    return options.StrideH(), options.StrideW()


def _is_same(options: Any) -> bool:
    return bool(options.Padding() == tflite.Padding.SAME)


def _sound(window: Window) -> Window | None:
    return window if min(*window.kernel, *window.stride, *window.dilation) >= 1 else None
