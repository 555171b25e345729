"""How operators multiply their inputs by weights: which layers a weight has, and where the bias of a layer is.

The record of an operator says how its weight becomes a layer (see `operators`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .groups import Groups
from .layer import Bias, Layer
from .operators import options_of, record_of
from .read import Model, Tensor
from .weight import User, Weight


def find_layer(model: Model, weight: Weight) -> Layer | None:
    """How the weight is used, if by one operator of a kind whose input can be observed; else None."""
    layers = find_layers(model, weight)
    return layers[0] if len(layers) == 1 else None


def find_layers(model: Model, weight: Weight) -> tuple[Layer, ...]:
    """All uses of a weight, if each is of such a kind and it is the same matrix in each; else none.

    The layer has its bias only if there is one use.
    """
    if weight.tensor.is_sparse or any(tensor.shape != weight.tensor.shape for tensor in weight.tensors):
        return ()
    layers = [layer for user in weight.users if (layer := _layer(model, weight, user))]
    forms = {(layer.kind, layer.rows, layer.columns, layer.groups, layer.multiplier) for layer in layers}
    if len(layers) < len(weight.users) or len(forms) != 1:
        return ()
    return tuple(layers) if len(layers) > 1 else (replace(layers[0], bias=_bias(model, layers[0])),)


def _layer(model: Model, weight: Weight, user: User) -> Layer | None:
    operator = user.operator
    build = record_of(operator).layer
    is_whole = operator.has(0) and bool(operator.outputs) and operator.outputs[0] >= 0
    return build(model, weight, user, options_of(operator)) if build is not None and is_whole else None


def _bias(model: Model, layer: Layer) -> Bias | None:
    """The bias operand, if it is a plain constant of known type that nothing else shares."""
    operator, rows = layer.operator, layer.rows.groups
    known = record_of(operator).bias
    if known is None or not known.is_per_row or not operator.has(known.operand):
        return None
    tensor = model.operand(operator, known.operand)
    if not _is_read_once(model, tensor):
        return None
    source = unpacked_from(model, tensor)
    if source is not None:
        tensor = source
    bias = Bias(model.buffers[tensor.buffer], tensor)
    holders = sum(model.buffers[other.buffer] == bias.span for other in model.tensors)
    if not bias.is_known_type or (tensor.type == "FLOAT16") != (source is not None):
        return None
    if bias.span.size != bias.dtype.itemsize * rows or holders != 1 or not _is_read_once(model, tensor):
        return None
    return bias if bias.is_float or _has_units(tensor, rows) else None


def _has_units(tensor: Tensor, rows: int) -> bool:
    """Whether each row of an integer bias has a real size of a code, which LiteRT itself ignores."""
    scale = np.zeros(0) if tensor.quantization is None else tensor.quantization.scale
    return len(scale) in (1, rows) and bool(np.isfinite(scale).all() and np.all(scale > 0))


def _is_read_once(model: Model, tensor: Tensor) -> bool:
    """Whether a tensor is read by one operand of one operator, and by nothing else."""
    graph = model.subgraphs[tensor.subgraph]
    readers = sum(operator.inputs.count(tensor.index) for operator in graph.operators)
    return readers == 1 and tensor.index not in graph.outputs and not tensor.is_variable


def unpacked_from(model: Model, tensor: Tensor) -> Tensor | None:
    """What DEQUANTIZE makes a tensor of, if that is where it comes from."""
    graph = model.subgraphs[tensor.subgraph]
    makers = [operator for operator in graph.operators if tensor.index in operator.outputs]
    if len(makers) != 1 or not makers[0].is_builtin("DEQUANTIZE") or len(makers[0].inputs) != 1 or not makers[0].has(0):
        return None
    return graph.tensors[makers[0].inputs[0]]


def as_rows(flat: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """Flat elements as a matrix, one row for each group."""
    return np.asarray(flat.reshape(rows.shape).transpose(1, 0, 2).reshape(rows.groups, -1))


def as_flat(matrix: npt.NDArray[Any], rows: Groups) -> npt.NDArray[Any]:
    """The inverse of as_rows."""
    by_row = matrix.reshape(rows.groups, rows.outer, rows.inner)
    return np.ascontiguousarray(by_row.transpose(1, 0, 2)).reshape(-1)


def row_scale(weight: Weight, rows: Groups) -> npt.NDArray[np.float64] | None:
    """Scale of each row; None if a row has several."""
    groups = weight.scale_groups
    if len(weight.scale) == 1:
        return np.full(rows.groups, weight.scale[0])
    if groups == rows:
        return weight.scale
    if groups.outer == rows.outer == 1 and groups.inner % rows.inner == 0:
        return np.repeat(weight.scale, groups.inner // rows.inner)
    return None


_BLOCK: Final = 1 << 22
"""Elements of a matrix of real weights that are computed at a time."""


@dataclass(frozen=True)
class RealRows:
    """The real weights as a matrix, (rows, columns). Rows are computed when they are asked for.

    codes: (rows, columns). scale: real size of a code in each row, (rows,). zero: the code of the real value 0.
    """

    codes: npt.NDArray[Any]
    scale: npt.NDArray[np.float64]
    zero: int

    def __getitem__(self, some: slice) -> npt.NDArray[np.float64]:
        """Some of the rows, with all columns."""
        return np.asarray((self.codes[some].astype(np.float64) - self.zero) * self.scale[some, None])

    def blocks(self) -> Iterator[npt.NDArray[np.float64]]:
        """All rows, some at a time, so that a large weight takes little memory."""
        height = max(1, _BLOCK // max(self.codes.shape[1], 1))
        return (self[start : start + height] for start in range(0, len(self.codes), height))


def real_rows(model: Model, weight: Weight, rows: Groups) -> RealRows | None:
    """The real weights as a matrix; None where a row has several scales."""
    scale = row_scale(weight, rows)
    return None if scale is None else RealRows(as_rows(weight.codes(model), rows), scale, weight.zero)


def real_bias(model: Model, bias: Bias) -> npt.NDArray[np.float64]:
    """The real values of a bias, (rows,)."""
    codes = bias.codes(model.bytes_of(bias.span))
    return np.asarray(codes.astype(np.float64) * bias.scale)
