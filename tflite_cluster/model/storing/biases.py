"""Float16 biases as int8 codes that stand for exactly the same values.

XNNPACK leaves an operator to slower kernels if its weights are unpacked from int8 and its bias from float16. Codes of
64 and -64 with a scale of their own for each element are exact, and the scales zip as the float16 values do: they have
the same leading bits, and zeros behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from ..fields import has_unknown_fields, root, tables_of, target_at
from ..layers import unpacked_from
from ..operators import record_of
from ..read import Model, Tensor
from ..verify import Span
from ..weight import User, Weight
from .store import Stored

_CODE: Final = 64
"""A power of two, by which to divide a float32 is exact."""


def float16_bias(model: Model, user: User) -> Tensor | None:
    """The float16 constant from which the bias of an operator is unpacked; None if it has no such bias."""
    operator = user.operator
    bias = record_of(operator).bias
    if bias is None or not bias.needs_type_of_weight or not operator.has(bias.operand):
        return None
    source = unpacked_from(model, model.operand(operator, bias.operand))
    is_constant = source is not None and source.type == "FLOAT16" and model.buffers[source.buffer].size
    return source if is_constant else None


def is_exact(model: Model, bias: Tensor) -> bool:
    """Whether a bias can become codes: all that use its bytes must take them, and its values must be finite."""
    span = model.buffers[bias.buffer]
    if span.size % 2 or any(model.buffers[index] == span for index in model.metadata):
        return False
    values = np.frombuffer(model.bytes_of(span), "<f2")
    return bool(np.isfinite(values).all()) and all(
        _fits(model, tensor, len(values)) for tensor in _holders(model, span)
    )


def _holders(model: Model, span: Span) -> list[Tensor]:
    return [tensor for tensor in model.tensors if model.buffers[tensor.buffer] == span]


def _fits(model: Model, tensor: Tensor, length: int) -> bool:
    subgraph = model.subgraphs[tensor.subgraph]
    readers = {operator.name for operator in subgraph.operators if tensor.index in operator.inputs}
    data = model.data
    table = tables_of(data, target_at(data, "Model", root(data), "subgraphs"))[tensor.subgraph]
    place = tables_of(data, target_at(data, "SubGraph", table, "tensors"))[tensor.index]
    return (
        tensor.type == "FLOAT16"
        and tensor.shape == (length,)
        and not tensor.is_sparse
        and readers <= {"DEQUANTIZE"}
        and tensor.index not in (*subgraph.inputs, *subgraph.outputs)
        and not has_unknown_fields(data, "Tensor", place)
    )


def exact_biases(model: Model, weights: Iterable[Weight]) -> dict[Span, Stored]:
    """The codes of the float16 biases of the operators that use these weights, by place; see `int8_obstacle`."""
    found: dict[Span, Stored] = {}
    for weight in weights:
        for user in weight.users:
            bias = float16_bias(model, user)
            if bias is not None and model.buffers[bias.buffer] not in found:
                span = model.buffers[bias.buffer]
                values = np.frombuffer(model.bytes_of(span), "<f2").astype(np.float32)
                scale = np.where(values == 0, np.float32(1), np.abs(values) / np.float32(_CODE))
                codes = (np.sign(values) * _CODE).astype(np.int8)
                found[span] = Stored(span, tuple(_holders(model, span)), codes, scale, axis=0)
    return found
