"""Whether a file with stored codes is what it was made of, apart from those codes: read off both files."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..read import Model, Operator, Quantization, Subgraph, Tensor
from ..verify import Span
from .store import RUNTIME_VERSION, SUFFIXES, Stored


def find_difference(before: Model, after: Model, stored: Mapping[Span, Stored]) -> str | None:
    """The first difference that the storing of these codes does not account for, in words; None if there is none.

    before: the model with the real values, at the spans of `stored`.
    """
    return next(_differences(before, after, stored), None)


def _differences(before: Model, after: Model, stored: Mapping[Span, Stored]) -> Iterator[str]:
    if before.metadata != after.metadata or before.signatures != after.signatures:
        yield "its metadata or signatures are not what they were"
    if len(before.buffers) != len(after.buffers) or len(before.subgraphs) != len(after.subgraphs):
        yield "it has not as many buffers and subgraphs as before"
        return
    for number, (old, new) in enumerate(zip(before.buffers, after.buffers, strict=True)):
        codes = stored.get(old)
        content = before.bytes_of(old) if codes is None else codes.content
        same = after.bytes_of(new) == content
        before.forget(old)
        after.forget(new)
        if not same and before.metadata.get(number) != RUNTIME_VERSION:
            what = "buffer" if codes is None else f"tensor '{codes.name}': the codes in buffer"
            yield f"{what} {number} is not what was written"
    for one, other in zip(before.subgraphs, after.subgraphs, strict=True):
        yield from _in_subgraph(before, one, other, stored)


def _in_subgraph(before: Model, old: Subgraph, new: Subgraph, stored: Mapping[Span, Stored]) -> Iterator[str]:
    if (old.name, old.inputs, old.outputs) != (new.name, new.inputs, new.outputs):
        yield f"subgraph {old.index} has other inputs or outputs"
    made, expected = dict[int, int](), list[Tensor]()
    for tensor in old.tensors:
        codes = stored.get(before.buffers[tensor.buffer])
        if codes is None:
            expected.append(tensor)
        elif tensor.type == "FLOAT16":
            expected.append(_as_codes(tensor, codes))
        else:
            expected.append(replace(tensor, buffer=0))
            made[tensor.index] = len(old.tensors) + len(made)
    for index in made:
        tensor = old.tensors[index]
        codes = stored[before.buffers[tensor.buffer]]
        expected.append(replace(_as_codes(tensor, codes), index=made[index], name=tensor.name + SUFFIXES[codes.type]))
    if len(expected) != len(new.tensors):
        yield f"subgraph {old.index} has {len(new.tensors)} tensors instead of {len(expected)}"
        return
    for tensor, found in zip(expected, new.tensors, strict=True):
        if not _same_tensor(tensor, found):
            yield f"tensor '{found.name}' is not what it should be"
    ahead = new.operators[: len(made)]
    unpacked = {operator.outputs: operator.inputs for operator in ahead if operator.name == "DEQUANTIZE"}
    if len(ahead) != len(made) or unpacked != {(real,): (codes,) for real, codes in made.items()}:
        yield f"the codes of subgraph {old.index} are not unpacked into the tensors that they stand for"
    rest = new.operators[len(made) :]
    if len(rest) != len(old.operators) or not all(map(_same_operator, old.operators, rest)):
        yield f"the operators of subgraph {old.index} are not what they were"


def _as_codes(tensor: Tensor, codes: Stored) -> Tensor:
    zeros = np.zeros(len(codes.scale), np.int64)
    return replace(tensor, type=codes.type, quantization=Quantization(codes.scale, zeros, codes.axis or 0, False))


def _same_tensor(one: Tensor, other: Tensor) -> bool:
    same = replace(one, quantization=None) == replace(other, quantization=None)
    return same and _plain(one.quantization) == _plain(other.quantization)


def _plain(found: Quantization | None) -> tuple[object, ...] | None:
    if found is None:
        return None
    numbers = found.scale.tobytes(), found.zero_point.tobytes()
    return *numbers, found.axis, found.blockwise, found.details_tensors


def _same_operator(one: Operator, other: Operator) -> bool:
    fields = [(each.name, each.is_custom, each.inputs, each.outputs) for each in (one, other)]
    return fields[0] == fields[1] and _custom(one) == _custom(other) and _options(one) == _options(other)


def _custom(operator: Operator) -> bytes:
    found = operator.table.CustomOptionsAsNumpy()
    return b"" if isinstance(found, int) else found.tobytes()


def _options(operator: Operator) -> tuple[object, ...]:
    """The options as they stand in the file, field by field; what those may refer to moves along with them."""
    table = operator.table.BuiltinOptions()
    if table is None:
        return (operator.table.BuiltinOptionsType(),)
    data, position = table.Bytes, table.Pos
    vtable = position - struct.unpack_from("<i", data, position)[0]
    length, extent = struct.unpack_from("<HH", data, vtable)
    return (
        operator.table.BuiltinOptionsType(),
        bytes(data[vtable : vtable + length]),
        bytes(data[position + 4 : position + extent]),
    )
