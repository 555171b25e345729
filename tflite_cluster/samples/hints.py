"""What the graph says about the inputs that a model takes: the table that an index goes into, the range of a scale, and
the shape that an input is given first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..model.operators import options_of, record_of
from ..model.read import Model, Operator, Subgraph
from ..model.storage import STORAGES
from .synthetic import Hints, InputHint


def input_hints(model: Model) -> Hints:
    """Ranges of inputs by signature key (None: the first subgraph) and input name, for those that the graph tells."""
    first = model.subgraphs[0]
    hints: dict[str | None, dict[str, InputHint]] = {
        None: _hints(first, {first.tensors[index].name: index for index in first.inputs})
    }
    for key, signature in model.signatures.items():
        hints[key] = _hints(model.subgraphs[signature.subgraph], signature.tensors)
    return hints


def shape_read(subgraph: Subgraph, tensor: int) -> tuple[int, ...]:
    """The shape in which a model reads an input: the one with most sides above 1 that it reshapes the input to."""
    shapes = {tensor: subgraph.tensors[tensor].shape}
    for operator in subgraph.operators:
        if record_of(operator).keeps_order and operator.inputs and operator.inputs[0] in shapes:
            shapes.update((index, subgraph.tensors[index].shape) for index in operator.outputs)
    return max(shapes.values(), key=lambda shape: sum(side > 1 for side in shape))


def _hints(subgraph: Subgraph, inputs: dict[str, int]) -> dict[str, InputHint]:
    found = {name: list(_ranges(subgraph, tensor)) for name, tensor in inputs.items()}
    return {
        name: InputHint(max(hint.low for hint in ranges), min(hint.high for hint in ranges))
        for name, ranges in found.items()
        if ranges
    }


def _ranges(subgraph: Subgraph, tensor: int) -> Iterator[InputHint]:
    """What each operator that reads the tensor, or a copy of its values, makes of its range."""
    same = {tensor}
    for operator in subgraph.operators:
        for operand, index in enumerate(operator.inputs):
            if index not in same:
                continue
            if record_of(operator).keeps_values and operand == 0:
                same.update(operator.outputs)
            rows = _table_rows(subgraph, operator, operand)
            if rows:
                yield InputHint(0, rows - 1)
            if operator.is_builtin("QUANTIZE") and operator.outputs and operator.outputs[0] >= 0:
                yield from _quantised_range(subgraph, operator.outputs[0])


def _table_rows(subgraph: Subgraph, operator: Operator, operand: int) -> int:
    """Slices of the table that this operand indexes; 0 if it does not index one."""
    lookup = record_of(operator).lookup
    if lookup is None or lookup.indices != operand or not operator.has(lookup.table):
        return 0
    shape = subgraph.tensors[operator.inputs[lookup.table]].shape
    axis = lookup.axis(options_of(operator))
    return shape[axis] if -len(shape) <= axis < len(shape) else 0


def _quantised_range(subgraph: Subgraph, tensor: int) -> Iterator[InputHint]:
    storage = STORAGES.get(subgraph.tensors[tensor].type)
    quantization = subgraph.tensors[tensor].quantization
    if storage is None or quantization is None or len(quantization.scale) != 1:
        return
    zero = int(quantization.zero_point[0]) if len(quantization.zero_point) else 0
    scale = float(quantization.scale[0])
    if 0 < scale < math.inf:
        yield InputHint((storage.low - zero) * scale, (storage.high - zero) * scale)
