"""Which operators gradients of the outputs come back through, and to which layers: what reverse mode needs to know.

Gradients are right only where every way from a tensor to the outputs leads through operators that are known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from .layer import Layer
from .operators import options_of, record_of
from .operators.gradient import Step
from .read import Model, Operator, Subgraph, Tensor

_REAL: Final = frozenset({"FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16"})
_READABLE: Final = _REAL | {"INT32", "INT64"}


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


def record(model: Model, subgraph: int, seeds: Collection[int], layers: Iterable[Layer]) -> Tape:
    """The way from the tensors `seeds`, which have gradients, back to the outputs of those layers of a subgraph."""
    graph = model.subgraphs[subgraph]
    wanted = {layer.output for layer in layers}
    writers = Counter(tensor for operator in graph.operators for tensor in operator.outputs)
    later, stored = _later(graph, wanted), _stored(model, graph)
    is_whole = dict.fromkeys(seeds, True)
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
        if operator.is_builtin("DEQUANTIZE")
        for source, output in zip(operator.inputs, operator.outputs, strict=False)  # a crafted file may have none
        if source >= 0 and model.buffers[graph.tensors[source].buffer].size
    }


def _step(graph: Subgraph, operator: Operator, onward: tuple[int, ...], stored: dict[int, int]) -> Step | None:
    """None for an operator, or a form of one, that there is no way back through."""
    gradient = record_of(operator).gradient
    if gradient is None or len(operator.outputs) != 1:
        return None
    if onward not in ((), (0,)) and not gradient.takes_any_operand:  # weights that are computed
        return None
    operands = tuple(graph.tensors[stored.get(index, index)] if index >= 0 else None for index in operator.inputs)
    output = graph.tensors[operator.outputs[0]]
    if not all(tensor is None or _is_readable(tensor) for tensor in (*operands, output)):
        return None
    return gradient.prepare(options_of(operator), Step(operator.name, operands, output, onward))


def _is_readable(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    plain = quantization is None or not (quantization.blockwise or quantization.details_tensors)
    return tensor.type in _READABLE and plain and not tensor.is_sparse
