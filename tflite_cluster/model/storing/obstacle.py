"""Which weights can be stored as int8 codes behind DEQUANTIZE, and why others cannot."""

from __future__ import annotations

from typing import Final

from ..fields import has_unknown_fields, root, tables_of, target_at
from ..operators import compiled_for, options_of, record_of
from ..read import CONTROL_DEPENDENCIES, Model, Tensor
from ..weight import User, Weight
from .biases import float16_bias, is_exact

_METADATA: Final = {
    CONTROL_DEPENDENCIES: "its metadata fix the order of its operators by number",
    "OfflineMemoryAllocation": "its metadata say where in memory each tensor belongs",
}
_LARGEST_TABLE: Final = 16 << 20
"""Bytes of float32: what is unpacked stays in memory, where otherwise only the rows that are read would be."""


def int8_obstacle(model: Model, weight: Weight) -> str | None:
    """Why this weight cannot be stored as int8 codes behind DEQUANTIZE, in words; None if it can."""
    if weight.tensor.type not in ("FLOAT32", "FLOAT16"):
        return f"it is {weight.tensor.type}, not float32 or float16"
    if weight.tensor.is_sparse:
        return "it is sparse"
    if any(tensor.shape != weight.tensor.shape for tensor in weight.tensors):
        return "tensors of several shapes use the same bytes"
    if model.buffers[0].size or weight.count == 0:
        return "the model has no empty buffer for tensors without content"
    for index, span in enumerate(model.buffers):
        if span == weight.span and index in model.metadata:
            return f"metadata '{model.metadata[index]}' use the same bytes"
    reasons = (
        _of_model(model),
        *map(_of_user, weight.users),
        *(_of_tensor(model, weight, tensor) for tensor in weight.tensors),
    )
    return next((reason for reason in reasons if reason is not None), None)


def _of_model(model: Model) -> str | None:
    for name in model.metadata.values():
        if name in _METADATA:
            return f"the model cannot take another operator: {_METADATA[name]}"
    accelerator = compiled_for(model)
    if accelerator is not None:
        return f"the model is compiled for {accelerator}, with code at fixed places of the file"
    return None


def _of_user(user: User) -> str | None:
    operator = user.operator
    if operator.is_custom:
        return f"the custom operator {operator.name} may need its weights in the type they have"
    obstacle = record_of(operator).int8_obstacle
    return None if obstacle is None else obstacle(options_of(operator), user.operand)


def _of_tensor(model: Model, weight: Weight, tensor: Tensor) -> str | None:
    subgraph = model.subgraphs[tensor.subgraph]
    if tensor.index in subgraph.inputs:
        return "it is an input of the graph"
    if any(tensor.index in operator.outputs for operator in subgraph.operators):
        return "an operator writes it"
    readers = {operator.name for operator in subgraph.operators if tensor.index in operator.inputs}
    largest = 4 * weight.count > _LARGEST_TABLE
    reads_rows = any(record_of(user.operator).lookup is not None for user in weight.users)
    if largest and tensor.type == "FLOAT32" and reads_rows:
        return "few of its rows are read at a time, and all of them would be unpacked into memory"
    if tensor.type == "FLOAT16":
        biases = [bias for user in weight.users if (bias := float16_bias(model, user)) is not None]
        if not all(is_exact(model, bias) for bias in biases):
            return "beside a float16 bias that stays so, XNNPACK would leave the operator to slower kernels"
        return _of_float16(model, tensor, readers)
    between = sorted(readers - {user.operator.name for user in weight.users})
    return f"{', '.join(between)} changes its type before it is used" if between else None


def _of_float16(model: Model, tensor: Tensor, readers: set[str]) -> str | None:
    others = sorted(readers - {"DEQUANTIZE"})
    if others:
        return f"{', '.join(others)} reads its float16 values directly"
    data = model.data
    subgraph = tables_of(data, target_at(data, "Model", root(data), "subgraphs"))[tensor.subgraph]
    table = tables_of(data, target_at(data, "SubGraph", subgraph, "tensors"))[tensor.index]
    return "its tensor is described by a newer schema" if has_unknown_fields(data, "Tensor", table) else None
