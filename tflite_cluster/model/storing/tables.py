"""New tables of a .tflite file, as bytes. They may stand anywhere after the place that refers to them."""

from __future__ import annotations

from dataclasses import dataclass

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from ..read import Tensor

DEQUANTIZE = tflite.BuiltinOperator.DEQUANTIZE


@dataclass(frozen=True)
class NewTable:
    """The bytes of one table with all that it refers to; the table itself stands at `position` in them."""

    content: bytes
    position: int


def integer_tensor(
    kind: str,
    name: bytes,
    like: Tensor,
    buffer: int,
    scale: npt.NDArray[np.float32],
    axis: int | None,
    signature: tuple[int, ...] | None,
    has_rank: bool,
) -> NewTable:
    """A constant tensor of an integer type, of the shape of another, with one scale or one for each index of `axis`."""
    builder = flatbuffers.Builder(256)
    places = [
        builder.CreateNumpyVector(np.asarray(like.shape, np.int32)),
        builder.CreateString(name),
        builder.CreateNumpyVector(scale.astype(np.float32)),
        builder.CreateNumpyVector(np.zeros(len(scale), np.int64)),
    ]
    shape, text, scales, zeros = places
    dynamic = None if signature is None else builder.CreateNumpyVector(np.asarray(signature, np.int32))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zeros)
    tflite.QuantizationParametersAddQuantizedDimension(builder, axis or 0)
    quantization = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, getattr(tflite.TensorType, kind))
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, text)
    tflite.TensorAddQuantization(builder, quantization)
    if dynamic is not None:
        tflite.TensorAddShapeSignature(builder, dynamic)
    tflite.TensorAddHasRank(builder, has_rank)
    return _finish(builder, tflite.TensorEnd(builder))


def dequantize(code: int, source: int, result: int) -> NewTable:
    """An operator that makes a float tensor of a quantised one; `code` is its place among the operator codes."""
    builder = flatbuffers.Builder(128)
    inputs, outputs = (builder.CreateNumpyVector(np.array([index], np.int32)) for index in (source, result))
    tflite.DequantizeOptionsStart(builder)
    options = tflite.DequantizeOptionsEnd(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    tflite.OperatorAddBuiltinOptionsType(builder, tflite.BuiltinOptions.DequantizeOptions)
    tflite.OperatorAddBuiltinOptions(builder, options)
    return _finish(builder, tflite.OperatorEnd(builder))


def dequantize_code(version: int) -> NewTable:
    """The entry of DEQUANTIZE among the operator codes, for readers of any age."""
    builder = flatbuffers.Builder(64)
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, DEQUANTIZE)
    tflite.OperatorCodeAddVersion(builder, version)
    tflite.OperatorCodeAddBuiltinCode(builder, DEQUANTIZE)
    return _finish(builder, tflite.OperatorCodeEnd(builder))


def _finish(builder: flatbuffers.Builder, table: int) -> NewTable:
    """What the builder holds, without its way in, from a boundary on that suits every scalar."""
    builder.Prep(8, 0)
    content = bytes(builder.Bytes[builder.Head() :])
    return NewTable(content, len(content) - table)
