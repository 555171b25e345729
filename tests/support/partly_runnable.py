"""Crafted float32 models that the interpreter runs in part, or in one way only."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .crafting import Table, craft
from .operators import CONV_2D, DENSE, SAME

CUSTOM, NEG, SOFTMAX = 32, 59, 25
RELU = 1


class _Graph:
    """A subgraph in the making; constants go to the buffers of its model."""

    def __init__(self, buffers: list[Table], codes: list[Table]) -> None:
        self.buffers, self.codes = buffers, codes
        self.tensors: list[Table] = []
        self.operators: list[Table] = []

    def tensor(self, name: str, *shape: int, values: np.ndarray | None = None) -> int:
        if values is not None:
            self.buffers.append({"data": values.astype(np.float32).tobytes()})
            shape = values.shape
        buffer = 0 if values is None else len(self.buffers) - 1
        table = {"name": name.encode(), "shape": np.array(shape, np.int32), "type": 0, "buffer": buffer, "has_rank": 1}
        self.tensors.append(table)
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, custom: str = "", **fields: Any) -> None:
        entry: Table = {"deprecated_builtin_code": code, "builtin_code": code, "version": 1}
        if custom:
            entry["custom_code"] = custom.encode()
        self.codes.append(entry)
        operator = {"opcode_index": len(self.codes) - 1, "inputs": np.array(inputs, np.int32)}
        self.operators.append({**operator, "outputs": np.array([output], np.int32), **fields})

    def table(self, inputs: list[int], outputs: list[int]) -> Table:
        ends = {"inputs": np.array(inputs, np.int32), "outputs": np.array(outputs, np.int32)}
        return {"tensors": self.tensors, **ends, "operators": self.operators, "name": b"graph"}


def _options(kind: int, **fields: int) -> Table:
    return {"builtin_options_type": kind, "builtin_options": (kind, fields)}


def _convolution(graph: _Graph, x: int, weights: np.ndarray, y: int) -> None:
    constants = [graph.tensor("kernel", values=weights), graph.tensor("bias", values=np.zeros(len(weights)))]
    options = _options(1, padding=SAME, stride_h=1, stride_w=1, fused_activation_function=RELU)
    graph.operator(CONV_2D, [x, *constants], y, **options)


def upsampling() -> bytes:
    """Two convolutions and Convolution2DTransposeBias, which only the default delegate can run."""
    generator = np.random.default_rng(0)
    buffers: list[Table] = [{}]
    codes: list[Table] = []
    graph = _Graph(buffers, codes)
    x, first, second = (
        graph.tensor("x", 1, 16, 16, 3),
        graph.tensor("a", 1, 16, 16, 16),
        graph.tensor("b", 1, 16, 16, 24),
    )
    _convolution(graph, x, generator.standard_normal((16, 3, 3, 3)) / 5, first)
    _convolution(graph, first, generator.standard_normal((24, 3, 3, 16)) / 9, second)
    weights = graph.tensor("up", values=generator.standard_normal((2, 2, 2, 24)) / 5)
    bias, y = graph.tensor("up/bias", values=np.zeros(2)), graph.tensor("y", 1, 32, 32, 2)
    custom_options = np.frombuffer(struct.pack("<iii", 1, 2, 2), np.uint8)
    graph.operator(CUSTOM, [second, weights, bias], y, "Convolution2DTransposeBias", custom_options=custom_options)
    return craft({"version": 3, "operator_codes": codes, "subgraphs": [graph.table([x], [y])], "buffers": buffers})


def deep(operators: int, side: int) -> bytes:
    """A convolution of 8 channels, operators that each give side by side by 8 values, a layer, a softmax."""
    generator = np.random.default_rng(0)
    buffers: list[Table] = [{}]
    codes: list[Table] = []
    graph = _Graph(buffers, codes)
    x, last = graph.tensor("x", 1, side, side, 1), graph.tensor("a", 1, side, side, 8)
    _convolution(graph, x, generator.standard_normal((8, 3, 3, 1)), last)
    for number in range(operators):
        after = graph.tensor(f"n{number}", 1, side, side, 8)
        graph.operator(NEG, [last], after)
        last = after
    dense, y = graph.tensor("dense", side * side, 3), graph.tensor("y", side * side, 3)
    constants = [graph.tensor("w", values=generator.standard_normal((3, 8))), graph.tensor("b", values=np.zeros(3))]
    graph.operator(DENSE, [last, *constants], dense, **_options(8))
    graph.operator(SOFTMAX, [dense], y, **(_options(9) | {"builtin_options": (9, {"beta": _BETA})}))
    return craft({"version": 3, "operator_codes": codes, "subgraphs": [graph.table([x], [y])], "buffers": buffers})


_BETA = struct.unpack("<I", struct.pack("<f", 1.0))[0]


def two_signatures(custom: str) -> bytes:
    """Two signatures with a layer each: "plain" gives it, "other" what a custom operator makes of it."""
    generator = np.random.default_rng(0)
    buffers: list[Table] = [{}]
    codes: list[Table] = []
    graphs: list[Table] = []
    definitions: list[Table] = []
    for number, key in enumerate((b"plain", b"other")):
        graph = _Graph(buffers, codes)
        x, y = graph.tensor(f"x{number}", 1, 48), graph.tensor(f"y{number}", 1, 32)
        weights = graph.tensor(f"{key.decode()}/weights", values=generator.standard_normal((32, 48)))
        bias = graph.tensor("bias", values=np.zeros(32))
        graph.operator(DENSE, [x, weights, bias], y, **_options(8))
        if key == b"other":
            between, y = y, graph.tensor("z", 1, 32)
            graph.operator(CUSTOM, [between], y, custom)
        graphs.append(graph.table([x], [y]))
        maps = [{"name": name, "tensor_index": tensor} for name, tensor in ((b"x", x), (b"y", y))]
        definitions.append({"inputs": maps[:1], "outputs": maps[1:], "signature_key": key, "subgraph_index": number})
    model = {"version": 3, "operator_codes": codes, "subgraphs": graphs, "buffers": buffers}
    return craft({**model, "signature_defs": definitions})


def lone_signature() -> bytes:
    """A layer whose only signature names an input and no outputs."""
    buffers: list[Table] = [{}]
    codes: list[Table] = []
    graph = _Graph(buffers, codes)
    x, y = graph.tensor("x", 1, 48), graph.tensor("y", 1, 32)
    weights = graph.tensor("weights", values=np.random.default_rng(0).standard_normal((32, 48)))
    graph.operator(DENSE, [x, weights, graph.tensor("bias", values=np.zeros(32))], y, **_options(8))
    definition = {"inputs": [{"name": b"x", "tensor_index": x}], "signature_key": b"lookup", "subgraph_index": 0}
    model = {"version": 3, "operator_codes": codes, "subgraphs": [graph.table([x], [y])], "buffers": buffers}
    return craft({**model, "signature_defs": [definition]})
