"""Weights stored as integer codes, and what the dump of such a model must then be."""

from __future__ import annotations

import io
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.storing.obstacle import int8_obstacle
from tflite_cluster.model.storing.store import Stored, write_stored
from tflite_cluster.model.weight import Weight

from .dump import ALIGNMENT, content_of, dump

DEQUANTIZE = 6
TYPES = {"INT8": 9, "INT4": 17}
RUNTIMES = {2: "1.14.0", 5: "2.7.0", 6: "2.18.0"}


def storable_weights(model: Model) -> list[Weight]:
    return [weight for weight in select(model)[0] if int8_obstacle(model, weight) is None]


def real_values(model: Model, weight: Weight) -> np.ndarray:
    raw = model.bytes_of(weight.span)
    return weight.storage.decode(raw, weight.count).reshape(weight.tensor.shape)


def finely(model: Model, weight: Weight, *, per_channel: bool, kind: str = "INT8") -> Stored:
    """Codes to the nearest of 255 values, or 15, with one scale or one for each output channel."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        real = np.nan_to_num(real_values(model, weight).astype(np.float64), posinf=0, neginf=0)
    axis = weight.users[0].axis % real.ndim if per_channel else None
    others = tuple(other for other in range(real.ndim) if other != axis)
    largest = abs(real).max(axis=others, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / {"INT8": 127, "INT4": 7}[kind]).astype(np.float32)
    return Stored.of(weight, np.rint(real / scale).astype(np.int8), scale.reshape(-1), axis, kind)


def packed(one: Stored) -> bytes:
    """The codes as the format has them: int4 in pairs, the first of each in the low half."""
    codes = one.codes.reshape(-1)
    if one.type == "INT8":
        return codes.tobytes()
    halves = np.append(codes, np.zeros(codes.size % 2, np.int8)).reshape(-1, 2) & 15
    return bytes((halves[:, 0] | halves[:, 1] << 4).astype(np.uint8))


def unpacked(one: Stored) -> np.ndarray:
    """The real values that the codes stand for, as the kernels compute them."""
    axis = one.axis or 0
    scale = one.scale if one.axis is None else one.scale.reshape(-1, *[1] * (one.codes.ndim - axis - 1))
    return one.codes.astype(np.float32) * scale


def stored_model(model: Model, stored: Sequence[Stored]) -> bytes:
    file = io.BytesIO()
    write_stored(model, stored, file)
    return file.getvalue()


def patched_model(model: Model, stored: Sequence[Stored]) -> bytes:
    """The model with the same values in its float weights."""
    data = bytearray(model.data)
    for one in stored:
        span = one.span
        codes = unpacked(one).reshape(-1)
        kind = "<f2" if one.tensors[0].type == "FLOAT16" else "<f4"
        data[span.start : span.stop] = codes.astype(kind).tobytes()
    return bytes(data)


def expected_dump(before: bytes, stored: Sequence[Stored]) -> dict[str, Any]:
    """The dump of the original with all changes that storing is to make, and no other."""
    model, after = open_model(before), deepcopy(dump(before))
    if not stored:
        return after
    version = max(6 if one.type == "INT4" else 2 if len(one.scale) == 1 else 5 for one in stored)
    spans = {one.span: one for one in stored}
    for index, span in enumerate(model.buffers):
        if span in spans:
            codes, outside = packed(spans[span]), after["buffers"][index]["outside"]
            after["buffers"][index] = content_of(codes, span.start % ALIGNMENT, outside=outside)
    _raise_runtime(model, after, RUNTIMES[version])
    code = _dequantize_code(after, version)
    added: dict[int, list[dict[str, Any]]] = {}
    pairs = ((one, tensor) for one in stored for tensor in one.tensors)
    for one, tensor in sorted(pairs, key=lambda pair: pair[1].index):
        graph = after["subgraphs"][tensor.subgraph]
        float_tensor = graph["tensors"][tensor.index]
        integer_tensor = deepcopy(float_tensor) | {"type": TYPES[one.type], "quantization": _quantization(one)}
        if tensor.type == "FLOAT16":
            graph["tensors"][tensor.index] = integer_tensor
            continue
        float_tensor["buffer"] = 0
        graph["tensors"].append(integer_tensor | {"name": float_tensor["name"] + b"_" + one.type.lower().encode()})
        operator = _operator(code, len(graph["tensors"]) - 1, tensor.index)
        added.setdefault(tensor.subgraph, []).append(operator)
    for subgraph, operators in added.items():
        graph = after["subgraphs"][subgraph]
        graph["operators"] = operators + graph["operators"]
    return after


def _raise_runtime(model: Model, after: dict[str, Any], needed: str) -> None:
    for entry in after["metadata"] or []:
        if entry["name"] != b"min_runtime_version":
            continue
        span = model.buffers[entry["buffer"]]
        known = bytes(model.bytes_of(span)).rstrip(b"\0").decode()
        if [int(part) for part in known.split(".")] < [int(part) for part in needed.split(".")]:
            content = needed.encode().ljust(span.size, b"\0")
            after["buffers"][entry["buffer"]] = content_of(content, span.start % ALIGNMENT, outside=False)


def _dequantize_code(after: dict[str, Any], version: int) -> int:
    for index, entry in enumerate(after["operatorCodes"]):
        if max(entry["builtinCode"], entry["deprecatedBuiltinCode"]) == DEQUANTIZE:
            entry["version"] = max(entry["version"], version)
            return index
    code = {"deprecatedBuiltinCode": DEQUANTIZE, "customCode": None, "version": version, "builtinCode": DEQUANTIZE}
    after["operatorCodes"].append({"table": "OperatorCodeT"} | code)
    return len(after["operatorCodes"]) - 1


def _quantization(one: Stored) -> dict[str, Any]:
    scales = {"min": None, "max": None, "scale": one.scale.tolist(), "zeroPoint": [0] * len(one.scale)}
    details = {"detailsType": 0, "details": None, "quantizedDimension": one.axis or 0}
    return {"table": "QuantizationParametersT"} | scales | details


def _operator(code: int, source: int, result: int) -> dict[str, Any]:
    fields = {"opcodeIndex": code, "inputs": [source], "outputs": [result], "builtinOptionsType": 38}
    fields |= {"builtinOptions": {"table": "DequantizeOptionsT"}, "customOptions": None, "customOptionsFormat": 0}
    fields |= {"mutatingVariableInputs": None, "intermediates": None, "largeCustomOptionsSize": 0}
    fields |= {"builtinOptions2Type": 0, "builtinOptions2": None, "debugMetadataIndex": -1}
    return {"table": "OperatorT"} | fields | {"largeCustomOptions": None}
