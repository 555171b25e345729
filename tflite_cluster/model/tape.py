"""Which operators gradients of the outputs come back through, and to which layers: what reverse mode needs to know.

Gradients are right only where every way from a tensor to the outputs leads through operators that are known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

import tflite

from .layers import Layer
from .options import Window, options_of, pool_window_of, window_of
from .read import Model, Operator, Subgraph, Tensor

_ACTIVATIONS: Final = {
    tflite.ActivationFunctionType.NONE: "NONE",
    tflite.ActivationFunctionType.RELU: "RELU",
    tflite.ActivationFunctionType.RELU6: "RELU6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}

_REAL: Final = frozenset({"FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16"})
_READABLE: Final = _REAL | {"INT32", "INT64"}

_OF_EQUALS: Final = frozenset({"ADD", "CONCATENATION", "MUL", "SUB"})
"""Operators of which any operand may be computed, not the first alone."""


@dataclass(frozen=True)
class Step:
    """One operator to go back through.

    operands: all its inputs, None where an optional one is absent. onward: which of them gradients go on to.
    activation: what it ends with. window: of a convolution or a pool. axis: along which it puts parts together.
    slope: where its input is below zero. keeps: whether a layer's gradients are wanted here.
    """

    name: str
    operands: tuple[Tensor | None, ...]
    output: Tensor
    onward: tuple[int, ...]
    activation: str = "NONE"
    window: Window | None = None
    axis: int = 0
    slope: float = 0.0
    keeps: bool = False


@dataclass(frozen=True)
class Tape:
    """The steps of a subgraph, from its outputs on."""

    steps: tuple[Step, ...]

    @property
    def kept(self) -> tuple[int, ...]:
        """The tensors whose gradients are wanted, in the order of the steps."""
        return tuple(step.output.index for step in self.steps if step.keeps)


def has_gradient(tensor: Tensor) -> bool:
    """Whether it holds real values, or codes for them; shapes, indices and classes have no gradient."""
    return tensor.type in _REAL


def record(model: Model, subgraph: int, ends: Collection[int], layers: Iterable[Layer]) -> Tape:
    """The way from the tensors `ends`, which have gradients, back to the outputs of those layers of a subgraph."""
    graph = model.subgraphs[subgraph]
    wanted = {layer.output for layer in layers}
    writers = Counter(tensor for operator in graph.operators for tensor in operator.outputs)
    later, stored = _later(graph, wanted), _stored(model, graph)
    is_whole = dict.fromkeys(ends, True)
    steps: list[Step] = []
    for operator in reversed(graph.operators):
        reached = [is_whole[tensor] for tensor in operator.outputs if tensor in is_whole]
        if not reached:
            continue
        onward = tuple(place for place, tensor in enumerate(operator.inputs) if tensor in later)
        alone = all(writers[tensor] == 1 for tensor in operator.outputs)  # or else another value lies there by now
        step = _step(graph, operator, onward, stored) if all(reached) and alone else None
        for place in onward:
            tensor = operator.inputs[place]
            is_whole[tensor] = is_whole.get(tensor, True) and step is not None
        if step is not None:
            steps.append(replace(step, keeps=step.output.index in wanted))
    return Tape(tuple(steps))


def _later(graph: Subgraph, wanted: Collection[int]) -> set[int]:
    """The wanted tensors, and all with gradients that are computed from them."""
    found = set(wanted)
    for operator in graph.operators:
        if not found.isdisjoint(operator.inputs):
            found.update(index for index in operator.outputs if has_gradient(graph.tensors[index]))
    return found


def _stored(model: Model, graph: Subgraph) -> dict[int, int]:
    """By the dequantised form of a constant, its stored one: kernels that read that do not fill in the other."""
    return {
        output: source
        for operator in graph.operators
        if operator.name == "DEQUANTIZE"
        for source, output in zip(operator.inputs, operator.outputs, strict=False)  # a crafted file may have none
        if source >= 0 and model.buffers[graph.tensors[source].buffer].size
    }


def _step(graph: Subgraph, operator: Operator, onward: tuple[int, ...], stored: dict[int, int]) -> Step | None:
    """None for an operator, or a form of one, that there is no way back through."""
    build = _BUILDERS.get(operator.name)
    if build is None or operator.is_custom or len(operator.outputs) != 1:
        return None
    if onward not in ((), (0,)) and operator.name not in _OF_EQUALS:  # weights that are computed
        return None
    operands = tuple(graph.tensors[stored.get(index, index)] if index >= 0 else None for index in operator.inputs)
    output = graph.tensors[operator.outputs[0]]
    if not all(tensor is None or _is_readable(tensor) for tensor in (*operands, output)):
        return None
    return build(operator, Step(operator.name, operands, output, onward))


def _is_readable(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    plain = quantization is None or not (quantization.blockwise or quantization.details_tensors)
    return tensor.type in _READABLE and plain and not tensor.is_sparse


def _plain(_operator: Operator, step: Step) -> Step:
    return step


def _weighted(operator: Operator, step: Step) -> Step | None:
    """An operator with constant weights."""
    weights = step.operands[1] if len(step.operands) > 1 else None
    if weights is None:
        return None
    if operator.name == "FULLY_CONNECTED":
        plain = tflite.FullyConnectedOptionsWeightsFormat.DEFAULT
        options = options_of(operator)
        return _ending(operator, step) if options is not None and options.WeightsFormat() == plain else None
    window = window_of(operator, weights.shape)
    return _ending(operator, replace(step, window=window)) if window is not None else None


def _pooling(operator: Operator, step: Step) -> Step | None:
    window = pool_window_of(operator)
    return _ending(operator, replace(step, window=window)) if window is not None else None


def _ending(operator: Operator, step: Step) -> Step | None:
    """With its activation; older files may leave out the options of plain arithmetic."""
    options = options_of(operator)
    code = options.FusedActivationFunction() if options is not None else tflite.ActivationFunctionType.NONE
    return replace(step, activation=_ACTIVATIONS[code]) if code in _ACTIVATIONS else None


def _concatenation(operator: Operator, step: Step) -> Step | None:
    options = options_of(operator)
    return None if options is None else _ending(operator, replace(step, axis=options.Axis()))


def _leaky(operator: Operator, step: Step) -> Step | None:
    options = options_of(operator)
    return None if options is None else replace(step, slope=options.Alpha())


def _softmax(operator: Operator, step: Step) -> Step | None:
    options = options_of(operator)
    return step if options is not None and options.Beta() == 1 else None


_BUILDERS: Final[dict[str, Callable[[Operator, Step], Step | None]]] = {
    "ADD": _ending,
    "AVERAGE_POOL_2D": _pooling,
    "CONCATENATION": _concatenation,
    "CONV_2D": _weighted,
    "DEPTHWISE_CONV_2D": _weighted,
    "DEQUANTIZE": _plain,
    "EXPAND_DIMS": _plain,
    "FULLY_CONNECTED": _weighted,
    "HARD_SWISH": _plain,
    "LEAKY_RELU": _leaky,
    "LOGISTIC": _plain,
    "MAX_POOL_2D": _pooling,
    "MEAN": _plain,
    "MUL": _ending,
    "NEG": _plain,
    "PAD": _plain,
    "PRELU": _plain,
    "QUANTIZE": _plain,
    "RELU": _plain,
    "RELU6": _plain,
    "RELU_N1_TO_1": _plain,
    "RESHAPE": _plain,
    "SOFTMAX": _softmax,
    "SQUEEZE": _plain,
    "SUB": _ending,
    "TANH": _plain,
    "TRANSPOSE": _plain,
}

WAY_BACK: Final = frozenset(_BUILDERS)
"""Operators that gradients come back through."""
