"""Which constants are weights, and why the others are left alone.

A constant is a weight when everything that reads it, directly or through DEQUANTIZE, DENSIFY or CAST, is an operator
that takes it as its weight operand. Anything else is left alone, with a reason that a user can read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .groups import Groups
from .operators import other_role, record_of, weight_axis
from .read import Model, Operator, Tensor
from .storage import STORAGES, Storage
from .tables import why_not_learned
from .verify import Span
from .weight import LeftAlone, User, Weight


class _NotAWeight(Exception):
    """Carries the reason."""


def select(model: Model) -> tuple[tuple[Weight, ...], tuple[LeftAlone, ...]]:
    """All weights of the model in the order of their bytes, and the other constants with their reasons.

    Raises ModelError when a weight's buffer is not as long as its shape and type say.
    """
    used, others = used_as_weights(model)
    weights: list[Weight] = []
    for weight in used:
        reason = _why_not_learned(model, weight) if weight.is_table else None
        if reason is None:
            weights.append(weight)
        else:
            others.append(replace(_left_alone(weight.tensor, weight.span, reason), is_weight_operand=True))
    return tuple(weights), tuple(others)


def used_as_weights(model: Model) -> tuple[list[Weight], list[LeftAlone]]:
    """The same, with all that operators take as weights, whatever they hold: clustered tables do not look learned."""
    holders: dict[Span, list[Tensor]] = defaultdict(list)
    for tensor in model.tensors:
        if model.buffers[tensor.buffer].size:
            holders[model.buffers[tensor.buffer]].append(tensor)
    graph = _Graph(model)
    weights: list[Weight] = []
    others: list[LeftAlone] = _metadata(model, holders)
    for span, tensors in sorted(holders.items()):
        try:
            weights.append(_weight(model, graph, span, tuple(tensors)))
        except _NotAWeight as reason:
            others.append(_left_alone(tensors[0], span, str(reason)))
    return weights, others


def _left_alone(tensor: Tensor, span: Span, reason: str) -> LeftAlone:
    return LeftAlone(tensor.name, tensor.type, tensor.shape, span, reason)


def _why_not_learned(model: Model, weight: Weight) -> str | None:
    """Why a constant that elementwise operators read is not taken for a weight."""
    user = next(user for user in weight.users if user.needs_learned_values)
    values = weight.codes(model)
    reason = why_not_learned(values, weight.tensor.shape, weight.storage.bits, weight.span.size)
    model.forget(weight.span)
    return None if reason is None else f"it is operand {user.operand} of {user.operator.name}, and {reason}"


def _metadata(model: Model, holders: dict[Span, list[Tensor]]) -> list[LeftAlone]:
    """Buffers that no tensor names."""
    others: list[LeftAlone] = []
    for index, span in enumerate(model.buffers):
        if span.size and span not in holders:
            name = model.metadata.get(index)
            reason = "metadata, not a tensor" if name else "no tensor uses this buffer"
            others.append(LeftAlone(name or f"buffer {index}", "bytes", (span.size,), span, reason))
    return others


class _Graph:
    """Who reads which tensor, over all subgraphs."""

    def __init__(self, model: Model) -> None:
        self.readers: dict[tuple[int, int], list[tuple[Operator, int]]] = defaultdict(list)
        self.outputs: set[tuple[int, int]] = set()
        self.scale_holders: dict[tuple[int, int], str] = {}
        operands = sum(len(operator.inputs) for subgraph in model.subgraphs for operator in subgraph.operators)
        self.steps_left = 4 * (operands + len(model.tensors))
        for subgraph in model.subgraphs:
            self.outputs.update((subgraph.index, tensor) for tensor in subgraph.outputs)
            for operator in subgraph.operators:
                for operand, tensor in enumerate(operator.inputs):
                    if tensor >= 0:
                        self.readers[subgraph.index, tensor].append((operator, operand))
            for owner in subgraph.tensors:
                for holder in owner.quantization.details_tensors if owner.quantization else ():
                    self.scale_holders[subgraph.index, holder] = owner.name

    def final_readers(self, tensor: Tensor) -> Iterator[tuple[Operator, int]]:
        """Operators that read the tensor, seen through those that only change its representation.

        An honest constant has readers of its own: each is found about once in the search for all constants.
        """
        pending, seen = [(tensor.subgraph, tensor.index)], set[tuple[int, int]]()
        while pending:
            key = pending.pop()
            if key in seen:
                continue
            seen.add(key)
            if key in self.outputs:
                raise _NotAWeight("it is an output of the graph")
            for operator, operand in self.readers[key]:
                passes = record_of(operator).passes_weights
                self.steps_left -= 1 + (len(operator.outputs) if passes else 0)
                if self.steps_left < 0:
                    raise ModelError("its constants share their readers far more than any real model's")
                if passes:
                    pending += [(tensor.subgraph, output) for output in operator.outputs]
                else:
                    yield operator, operand


def _users(graph: _Graph, tensor: Tensor) -> list[User]:
    """The operators that take this tensor as a weight; _NotAWeight if any takes it as something else."""
    key = tensor.subgraph, tensor.index
    if tensor.is_variable:
        raise _NotAWeight("it is a variable, which the model itself changes")
    if key in graph.scale_holders:
        raise _NotAWeight(f"it holds the scales of '{graph.scale_holders[key]}'")
    users: list[User] = []
    for operator, operand in graph.final_readers(tensor):
        axis = weight_axis(operator, operand)
        if axis is None:
            raise _NotAWeight(other_role(operator, operand))
        users.append(User(operator, operand, axis, record_of(operator).needs_learned_values))
    if not users:
        raise _NotAWeight("no operator reads it")
    return users


def _weight(model: Model, graph: _Graph, span: Span, tensors: tuple[Tensor, ...]) -> Weight:
    users = tuple(user for tensor in tensors for user in _users(graph, tensor))
    first = tensors[0]
    for other in tensors[1:]:
        if _layout(other) != _layout(first):
            raise _NotAWeight(f"'{other.name}' uses the same bytes as another type or shape")
    storage = STORAGES.get(first.type)
    table = next((user.operator.name for user in users if user.needs_learned_values), None)
    if table is not None and first.is_sparse:
        raise _NotAWeight(f"it is sparse, and {table} reads it")
    if storage is None:
        raise _NotAWeight(f"weights of type {first.type} are not supported")
    if min(first.shape, default=0) < 0:
        raise ModelError(f"damaged: tensor '{first.name}' has a negative size in its shape {list(first.shape)}")
    if storage.nbytes(first.stored) != span.size:
        raise ModelError(
            f"damaged: tensor '{first.name}' holds {span.size} bytes, but its type {first.type} and shape "
            f"{list(first.shape)} take {storage.nbytes(first.stored)}"
        )
    scale, scale_groups, zero = _scales(model, tensors, storage)
    axis = users[0].axis
    visible = not first.is_sparse and -len(first.shape) <= axis < len(first.shape)
    channels = Groups.along(first.shape, axis) if visible else Groups(1, 1, first.stored)
    return Weight(span, tensors, users, storage, first.stored, scale, scale_groups, zero, channels)


def _layout(tensor: Tensor) -> tuple[object, ...]:
    """What tensors on the same bytes have to have in common; axes of one element are of no account."""
    shape = tensor.shape if tensor.is_sparse else tuple(length for length in tensor.shape if length != 1)
    return tensor.type, shape, tensor.is_sparse, tensor.stored


def _scales(model: Model, tensors: tuple[Tensor, ...], storage: Storage) -> tuple[npt.NDArray[np.float64], Groups, int]:
    """Scale of each group, the groups, and the zero code. Tensors that share bytes add up the squares of their scales,
    since an error in a code hurts each of them.
    """
    count = tensors[0].stored
    if storage.is_float:
        return np.ones(1), Groups(1, 1, count), 0
    alike: dict[tuple[object, ...], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        alike[_scale_source(model, tensor)].append(tensor)
    forms = [(len(same), *_scale_form(model, same[0], storage)) for same in alike.values()]
    _, _, groups, zero = forms[0]
    if any(form[2:] != (groups, zero) for form in forms):
        raise _NotAWeight("tensors with different quantisation use the same bytes")
    return np.sqrt(sum(times * scale**2 for times, scale, _, _ in forms)), groups, zero


def _scale_source(model: Model, tensor: Tensor) -> tuple[object, ...]:
    """The same for tensors with the same scales: each source is read once, however many tensors a file names it in."""
    quantization = tensor.quantization
    if quantization is None:
        return ()
    siblings = model.subgraphs[tensor.subgraph].tensors
    holders = [siblings[index] for index in quantization.details_tensors]
    return (
        quantization.scale.tobytes(),
        quantization.zero_point.tobytes(),
        quantization.axis,
        quantization.blockwise,
        *((model.buffers[holder.buffer], holder.type, holder.stored) for holder in holders),
    )


def _scale_form(model: Model, tensor: Tensor, storage: Storage) -> tuple[npt.NDArray[np.float64], Groups, int]:
    quantization, count = tensor.quantization, tensor.stored
    if quantization is None:
        raise _NotAWeight("its integer codes have no scale")
    if quantization.blockwise:
        return _blockwise(model, tensor, count)
    zeros = set(quantization.zero_point.tolist()) or {0}
    if len(zeros) > 1:
        raise _NotAWeight("its channels have different zero points")
    if not storage.low <= min(zeros) <= storage.high:
        raise _NotAWeight("its zero point is none of its codes")
    scale = quantization.scale.astype(np.float64)
    if not np.all(np.isfinite(scale) & (scale >= 0)):
        raise _NotAWeight("its scales are not finite numbers")
    if len(scale) == 1:
        return scale, Groups(1, 1, count), zeros.pop()
    if tensor.is_sparse:
        raise _NotAWeight("it is sparse and has a scale per channel")
    if not 0 <= quantization.axis < len(tensor.shape) or tensor.shape[quantization.axis] != len(scale):
        raise ModelError(
            f"damaged: tensor '{tensor.name}' of shape {list(tensor.shape)} has {len(scale)} scales "
            f"along axis {quantization.axis}"
        )
    return scale, Groups.along(tensor.shape, quantization.axis), zeros.pop()


def _blockwise(model: Model, tensor: Tensor, count: int) -> tuple[npt.NDArray[np.float64], Groups, int]:
    """Scales that stand in a float16 constant of their own, one for each run of elements along the last axis."""
    assert tensor.quantization is not None
    if not tensor.quantization.details_tensors or tensor.is_sparse:
        raise _NotAWeight("its quantisation is of a kind that is not known")
    holder = model.subgraphs[tensor.subgraph].tensors[tensor.quantization.details_tensors[0]]
    span, storage = model.buffers[holder.buffer], STORAGES.get(holder.type)
    if storage is None or not storage.is_float or span.size != storage.nbytes(holder.stored):
        raise _NotAWeight("the scales of its blocks are not constants that can be read")
    scale = storage.decode(model.bytes_of(span), holder.stored).astype(np.float64)
    blocks = len(scale)
    fits = blocks and tensor.shape and count % blocks == 0 and tensor.shape[-1] % (count // blocks) == 0
    if not fits or not np.all(np.isfinite(scale)):
        raise _NotAWeight("the scales of its blocks do not fit its shape")
    if len(tensor.quantization.details_tensors) > 1:
        raise _NotAWeight("its blocks have zero points of their own")
    return scale, Groups(1, blocks, count // blocks), 0
