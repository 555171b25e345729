"""Crafted float32 models of a single operator that the interpreter runs, for what the fixtures do not have."""

from __future__ import annotations

import numpy as np

from .crafting import Table, craft

CONV_2D, DEPTHWISE, DENSE, TRANSPOSE_CONV, BATCH_MATMUL = 3, 4, 9, 67, 126
LOGISTIC, RELU, SOFTMAX, TANH = 14, 19, 25, 28
SAME, VALID = 0, 1
ONE = 0x3F800000
"""The bits of 1.0 in float32, as scalars are crafted from whole numbers."""
INT32 = 2

Shape = tuple[int, ...]


def one_operator(
    code: int,
    x: Shape,
    weights: Shape,
    y: Shape,
    options: tuple[int, Table],
    *,
    bias: bool = True,
    seed: int = 0,
    is_output: bool = True,
) -> bytes:
    """The file of a model y = operator(x, weights, bias), with normally distributed constants.

    Without `is_output`, the model computes y and has no output.
    """
    generator = np.random.default_rng(seed)
    outputs = weights[3] if code == DEPTHWISE else weights[0]
    constants = [generator.standard_normal(weights).astype(np.float32)]
    constants += [generator.standard_normal(outputs).astype(np.float32)] if bias else []
    tensors = [_tensor(b"x", x), _tensor(b"y", y)]
    tensors += [_tensor(b"constant", values.shape, buffer=number + 1) for number, values in enumerate(constants)]
    operator = {
        "inputs": _ints(0, *range(2, len(tensors))),
        "outputs": _ints(1),
        "builtin_options_type": options[0],
        "builtin_options": options,
    }
    outside = {"inputs": _ints(0), "outputs": _ints(1) if is_output else _ints()}
    return craft(
        {
            "version": 3,
            "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code, "version": 1}],
            "subgraphs": [{"tensors": tensors, **outside, "operators": [operator], "name": b"main"}],
            "buffers": [{}, *({"data": values.tobytes()} for values in constants)],
        }
    )


def convolution(
    x: Shape,
    weights: Shape,
    y: Shape,
    *,
    same: bool = False,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> bytes:
    """A convolution; stride and dilation are (height, width)."""
    return one_operator(CONV_2D, x, weights, y, (1, _geometry(same, stride, dilation)))


def depthwise(
    x: Shape,
    weights: Shape,
    y: Shape,
    *,
    same: bool = False,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> bytes:
    """A depthwise convolution, likewise."""
    options = {**_geometry(same, stride, dilation), "depth_multiplier": weights[3] // x[3]}
    return one_operator(DEPTHWISE, x, weights, y, (2, options))


def batch_matmul(x: Shape, weights: Shape, y: Shape, *, adj_x: bool = False, adj_y: bool = False) -> bytes:
    """A batched product with a constant second operand."""
    options = (101, {"adj_x": int(adj_x), "adj_y": int(adj_y)})
    return one_operator(BATCH_MATMUL, x, weights, y, options, bias=False)


def dense(x: Shape, weights: Shape, y: Shape) -> bytes:
    """A fully connected layer."""
    return one_operator(DENSE, x, weights, y, (8, {}))


def _geometry(same: bool, stride: tuple[int, int], dilation: tuple[int, int]) -> Table:
    return {
        "padding": SAME if same else VALID,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
    }


def _tensor(name: bytes, shape: Shape, buffer: int = 0) -> Table:
    return {"name": name, "shape": _ints(*shape), "type": 0, "buffer": buffer, "has_rank": 1}


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def after_dense(
    code: int, y: Shape, *constants: np.ndarray, options: tuple[int, Table] | None = None, both: bool = False
) -> bytes:
    """The file of a model y = operator(dense(x), constants): any operator after a layer of 6 by 8 weights.

    both: whether the layer's output is one of the model too.
    """
    generator = np.random.default_rng(code)
    every = [generator.standard_normal((8, 6)), generator.standard_normal(8), *constants]
    stored = [each if each.dtype == np.int32 else each.astype(np.float32) for each in every]
    tensors = [_tensor(b"x", (1, 6)), _tensor(b"y", y), _tensor(b"dense", (1, 8))]
    for number, values in enumerate(stored):
        kind = INT32 if values.dtype == np.int32 else 0
        tensors.append(_tensor(b"constant%d" % number, values.shape, buffer=number + 1) | {"type": kind})
    dense = {"inputs": _ints(0, 3, 4), "outputs": _ints(2), "builtin_options_type": 8, "builtin_options": (8, {})}
    operator: Table = {"opcode_index": 1, "inputs": _ints(2, *range(5, len(tensors))), "outputs": _ints(1)}
    if options is not None:
        operator |= {"builtin_options_type": options[0], "builtin_options": options}
    outputs = _ints(1, 2) if both else _ints(1)
    graph = {"tensors": tensors, "inputs": _ints(0), "outputs": outputs, "operators": [dense, operator], "name": b"g"}
    codes = [{"deprecated_builtin_code": each, "builtin_code": each, "version": 1} for each in (DENSE, code)]
    buffers = [{}, *({"data": values.tobytes()} for values in stored)]
    return craft({"version": 3, "operator_codes": codes, "subgraphs": [graph], "buffers": buffers})


def dense_of_a_constant() -> bytes:
    """The file of a model without inputs: a layer of 24 by 16 weights that meets a constant."""
    generator = np.random.default_rng(0)
    stored = [generator.standard_normal(shape).astype(np.float32) for shape in ((1, 16), (24, 16), (24,))]
    tensors = [_tensor(b"constant%d" % n, values.shape, buffer=n + 1) for n, values in enumerate(stored)]
    tensors.append(_tensor(b"y", (1, 24)))
    dense = {"inputs": _ints(0, 1, 2), "outputs": _ints(3), "builtin_options_type": 8, "builtin_options": (8, {})}
    graph = {"tensors": tensors, "inputs": _ints(), "outputs": _ints(3), "operators": [dense], "name": b"g"}
    codes = [{"deprecated_builtin_code": DENSE, "builtin_code": DENSE, "version": 1}]
    buffers = [{}, *({"data": values.tobytes()} for values in stored)]
    return craft({"version": 3, "operator_codes": codes, "subgraphs": [graph], "buffers": buffers})


def two_dense(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    ending: int | None = None,
    middle: int = TANH,
    shape: tuple[int, ...] | None = None,
    free: tuple[int, ...] = (),
) -> bytes:
    """The file of a model y = ending(dense(middle(dense(x)))) with the given weights and biases.

    shape: of the input, if it is not a vector. free: its axes of any size.
    """
    stored = [each.astype(np.float32) for pair in (first, second) for each in pair]
    (hidden, inputs), outputs = first[0].shape, len(second[0])
    shapes = [shape or (1, inputs), (1, hidden), (1, hidden), (1, outputs), (1, outputs)]
    tensors = [_tensor(b"t%d" % number, each) for number, each in enumerate(shapes)]
    tensors[0]["shape_signature"] = _ints(*(-1 if axis in free else side for axis, side in enumerate(shapes[0])))
    tensors += [_tensor(b"constant%d" % n, values.shape, buffer=n + 1) for n, values in enumerate(stored)]
    steps = [
        (DENSE, (0, 5, 6), 1),
        (middle, (1,), 2),
        (DENSE, (2, 7, 8), 3),
        *([] if ending is None else [(ending, (3,), 4)]),
    ]
    codes = sorted({code for code, _, _ in steps})
    operators: list[Table] = []
    for code, used, made in steps:
        options = {DENSE: (8, {}), SOFTMAX: (9, {"beta": ONE})}.get(code)
        operator: Table = {"opcode_index": codes.index(code), "inputs": _ints(*used), "outputs": _ints(made)}
        if options is not None:
            operator |= {"builtin_options_type": options[0], "builtin_options": options}
        operators.append(operator)
    last = steps[-1][2]
    graph = {"tensors": tensors, "inputs": _ints(0), "outputs": _ints(last), "operators": operators, "name": b"g"}
    written = [{"deprecated_builtin_code": each, "builtin_code": each, "version": 1} for each in codes]
    buffers = [{}, *({"data": values.tobytes()} for values in stored)]
    return craft({"version": 3, "operator_codes": written, "subgraphs": [graph], "buffers": buffers})
