"""Which weights tflite-micro can hold as indices into a table of values, and the specification that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from ....model.groups import Groups
from ....model.read import Model, Tensor
from ....model.weight import Weight
from ..chip import LeftOut

MOST_VALUES: Final = 128
"""Indices have 1 to 7 bits."""

_FULL: Final = (2, 4, 8, 16, 32, 64, 128)
"""Numbers of values at which every index is used."""

_TYPES: Final = {"INT8": 1, "INT16": 2, "FLOAT32": 4}
"""Bytes of each type of weight that the DECODE kernel unpacks."""

_HEADER: Final = 16
"""Bytes before the first table."""

_STRUCTURE: Final = 200
"""Bytes that the operator, two tensors and their buffers add to the file for each weight (160 to 180 measured)."""

_SCALE: Final = 20
"""Bytes of a scale, its zero point and its range: the unpacked tensor has a copy of each."""


@dataclass(frozen=True)
class ValueTable:
    """A weight as indices into a table, or into one for each index of `axis`."""

    tensor: Tensor
    bits: int
    axis: int | None


def table_axis(tensor: Tensor) -> int | None:
    """The axis of a weight's scales, along which its tables go too; None for one table.

    The kernel reads one table for each scale: fewer would be read beyond their end.
    """
    quantization = tensor.quantization
    if quantization is None or len(quantization.scale) <= 1:
        return None
    return quantization.axis % len(tensor.shape)


def plan_table(weight: Weight, values: int) -> ValueTable | LeftOut:
    """The table, or the tables, of at most that many values for a weight."""
    tensor = weight.tensor
    reason = _obstacle(weight)
    if reason is not None:
        return LeftOut(tensor.name, reason)
    axis, size, packed = table_axis(tensor), _TYPES[tensor.type], packed_bytes(weight, values)
    if packed >= weight.count * size:
        return LeftOut(
            tensor.name,
            f"it would grow: {weight.count * size:,} bytes, and {packed:,} with {_count(_tables(tensor), 'table')} of "
            f"{_count(values, 'value')}",
        )
    if values > MOST_VALUES:
        return LeftOut(tensor.name, f"it holds {values} values, and a table at most {MOST_VALUES}")
    return ValueTable(tensor, _index_bits(values), axis)


def packed_bytes(weight: Weight, values: int) -> int:
    """Bytes that a weight with tables of so many values takes in the compressed file, with all that is added for it."""
    tensor = weight.tensor
    tables = _tables(tensor)
    structure = _STRUCTURE + _SCALE * tables + 2 * len(tensor.name.encode())  # two more names are made of it
    return -(-weight.count * _index_bits(values) // 8) + _HEADER + tables * values * _TYPES[tensor.type] + structure


def bits_by_values(weight: Weight) -> dict[int, float]:
    """Bits per weight in the compressed file, by the number of values; empty if it can have no table."""
    if _obstacle(weight) is not None:
        return {}
    return {values: 8 * packed_bytes(weight, values) / weight.count for values in _FULL}


def _tables(tensor: Tensor) -> int:
    axis = table_axis(tensor)
    return 1 if axis is None else tensor.shape[axis]


def _index_bits(values: int) -> int:
    return max(1, (values - 1).bit_length())


def _obstacle(weight: Weight) -> str | None:
    tensor = weight.tensor
    if len(weight.tensors) > 1:
        return f"its buffer is shared by {len(weight.tensors)} tensors"
    if tensor.is_sparse or tensor.type not in _TYPES or weight.count != prod(tensor.shape):
        kind = f"sparse {tensor.type}" if tensor.is_sparse else tensor.type
        return f"tables hold no {kind} weights"
    if tensor.quantization is not None and tensor.quantization.blockwise:
        return "its scales are blockwise"
    if table_axis(tensor) not in (None, 0, len(tensor.shape) - 1):
        return "its channels lie along neither its first axis nor its last"
    return None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def most_distinct(weight: Weight, model: Model) -> int:
    """Most distinct values that one table of a weight would hold."""
    codes = weight.codes(model)
    axis = table_axis(weight.tensor)
    if weight.count != prod(weight.tensor.shape) or axis is None:
        rows = codes.reshape(1, -1)
    else:
        groups = Groups.along(weight.tensor.shape, axis)
        rows = codes.reshape(groups.shape).transpose(1, 0, 2).reshape(groups.groups, -1)
    ascending = np.sort(rows, axis=1)
    distinct = 1 + np.count_nonzero(ascending[:, 1:] != ascending[:, :-1], axis=1).max(initial=0)
    model.forget(weight.span)
    return int(distinct)


def specification(tables: Iterable[ValueTable]) -> str:
    """What tflite-micro's compressor reads: YAML with the tensors to compress, by subgraph and index."""
    lines = ["# For tflite-micro's compressor.", "tensors:"]
    for table in tables:
        mode = ["          per_tensor:"]
        if table.axis is not None:
            mode = ["          per_channel:", f"            axis: {table.axis}"]
        lines += [
            "",
            f"  # {json.dumps(table.tensor.name)}",
            f"  - subgraph: {table.tensor.subgraph}",
            f"    tensor: {table.tensor.index}",
            "    compression:",
            "      - lut:",
            f"          index_bitwidth: {table.bits}",
            *mode,
        ]
    return "\n".join(lines) + "\n"
