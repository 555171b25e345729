"""A verified .tflite file as data classes: subgraphs, tensors, operators, buffers, signatures.

Reading goes through the `tflite` package, after `verify` has checked everything that is reached here. Indices are
checked as they are read, so that what comes out can be used without further care.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tflite
from flatbuffers import number_types

from ..errors import ModelError
from .fields import builtin_code
from .layout import UNIONS
from .source import forget, take
from .verify import Span, verify


def _names(enumeration: type) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


TENSOR_TYPES: Final = _names(tflite.TensorType)
OPERATORS: Final = _names(tflite.BuiltinOperator)

MAX_RANK: Final = 64
"""Dimensions of a tensor at most: the interpreter knows eight, and the product of very many takes forever."""

CONTROL_DEPENDENCIES: Final = "model_control_dependencies"
"""Name of the metadata that fix the order of operators by their numbers."""


@dataclass(frozen=True)
class Quantization:
    """How integer codes stand for real values: (code - zero_point) x scale, per tensor or along `axis`."""

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int
    blockwise: bool
    details_tensors: tuple[int, ...] = ()
    """Tensors that hold scales and zero points themselves (blockwise quantisation)."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph. `stored` counts the elements in its buffer: fewer than the shape's when sparse."""

    subgraph: int
    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    buffer: int
    quantization: Quantization | None
    is_variable: bool
    is_sparse: bool
    stored: int
    shape_signature: tuple[int, ...] = field(default=(), compare=False)
    """The shape with -1 where any size will do; empty if the file has none."""


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` and `outputs` are tensor indices of its subgraph, -1 where an optional one is absent."""

    subgraph: int
    index: int
    name: str
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Any = field(repr=False, compare=False)
    """The flatbuffer table, for the options."""

    def has(self, operand: int | None) -> bool:
        """Whether that operand, which may be optional, is given; None stands for no operand."""
        return operand is not None and operand < len(self.inputs) and self.inputs[operand] >= 0

    def is_builtin(self, name: str) -> bool:
        """Whether it is the builtin operator of that name."""
        return self.name == name and not self.is_custom


@dataclass(frozen=True)
class Subgraph:
    """One graph of the model."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class SignatureTensors:
    """The subgraph that a signature runs, and the tensor behind each of its named inputs and outputs."""

    subgraph: int
    tensors: dict[str, int]
    """By the name of the input."""
    outputs: dict[str, int]


@dataclass(frozen=True)
class Model:
    """A whole file. `data` is a read-only view of its bytes; `buffers` are the spans of each buffer's content."""

    label: str
    """The file's name, for messages."""
    data: memoryview = field(repr=False)
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Span, ...]
    metadata: dict[int, str]
    """Buffer index -> name of the metadata it holds."""
    signatures: dict[str, SignatureTensors]
    """By signature key."""

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return len(self.data)

    def bytes_of(self, span: Span) -> memoryview:
        """The bytes of a span."""
        return self.data[span.start : span.stop]

    def operand(self, operator: Operator, operand: int) -> Tensor:
        """The tensor that an operator takes as an operand that it has."""
        return self.subgraphs[operator.subgraph].tensors[operator.inputs[operand]]

    def subgraph_of(self, key: str | None) -> Subgraph:
        """The subgraph that a signature runs; the first for None, which stands for a model without signatures."""
        return self.subgraphs[self.signatures[key].subgraph if key in self.signatures else 0]

    def forget(self, span: Span) -> None:
        """Let go of the memory that the pages of a mapped file take, once a span has been read."""
        forget(self.data, span.start, span.stop)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of all subgraphs."""
        return tuple(tensor for subgraph in self.subgraphs for tensor in subgraph.tensors)


def open_model(source: Path | bytes | memoryview, scratch: Path | None = None, label: str = "the given bytes") -> Model:
    """Verify and read a model from a file, as it is now, or from bytes, which are then called `label`.

    scratch: folder for a copy of a large file to read from. Raises ModelError, which names the file, when it cannot be
    read or is not safe to read, and OutputError when there is no room for such a copy.
    """
    label = source.name if isinstance(source, Path) else label
    try:
        data = take(source, scratch) if isinstance(source, Path) else memoryview(source)
        structure = verify(data)
        model = _read(label, data)
        _check_spans(model.buffers, structure)
    except ModelError as error:
        raise ModelError(f"{label}: {error}") from None
    except OSError as error:
        raise ModelError(f"{label}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise ModelError(f"{label}: cannot be read: {error}") from error
    return model


def _read(label: str, data: memoryview) -> Model:
    root = tflite.Model.GetRootAs(data, 0)
    codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
    names = [_operator_name(code) for code in codes]
    buffers = tuple(_buffer_span(root.Buffers(i), len(data)) for i in range(root.BuffersLength()))
    count = root.SubgraphsLength()
    if not count:
        raise ModelError("holds no subgraph")
    subgraphs = tuple(_subgraph(root.Subgraphs(i), i, names, len(buffers)) for i in range(count))
    metadata = {}
    for i in range(root.MetadataLength()):
        entry = root.Metadata(i)
        metadata[_in_range(entry.Buffer(), len(buffers), "metadata buffer")] = _text(entry.Name())
    signatures = {}
    for i in range(root.SignatureDefsLength()):
        definition = root.SignatureDefs(i)
        signatures[_text(definition.SignatureKey())] = _signature(definition, subgraphs)
    return Model(label, data, subgraphs, buffers, metadata, signatures)


def _signature(definition: Any, subgraphs: tuple[Subgraph, ...]) -> SignatureTensors:
    subgraph = _in_range(definition.SubgraphIndex(), len(subgraphs), "a signature")
    count = len(subgraphs[subgraph].tensors)
    inputs, outputs = (
        {
            _text(entry.Name()): _in_range(entry.TensorIndex(), count, f"an {what} of a signature")
            for entry in map(entries, range(length))
        }
        for what, entries, length in (
            ("input", definition.Inputs, definition.InputsLength()),
            ("output", definition.Outputs, definition.OutputsLength()),
        )
    )
    return SignatureTensors(subgraph, inputs, outputs)


def _operator_name(code: Any) -> tuple[str, bool]:
    builtin = builtin_code(code)
    if builtin == tflite.BuiltinOperator.CUSTOM:
        name = _text(code.CustomCode()) or "CUSTOM"
        return f"custom {name}" if name in OPERATORS.values() else name, True  # it shares no more than the name
    return OPERATORS.get(builtin, f"OPERATOR_{builtin}"), False


def _buffer_span(buffer: Any, file_size: int) -> Span:
    if buffer.Offset() > 1 and buffer.Size() > 1:  # LiteRT takes 0 and 1 as "not outside the flatbuffer"
        start, size = buffer.Offset(), buffer.Size()
        if start + size > file_size:
            raise ModelError(f"damaged: a buffer at {start} of {size} bytes reaches outside the file")
        return Span(start, start + size)
    size = buffer.DataLength()
    if not size:
        return Span(0, 0)
    start = buffer._tab.Vector(buffer._tab.Offset(4))
    return Span(start, start + size)


def _subgraph(graph: Any, index: int, names: list[tuple[str, bool]], buffers: int) -> Subgraph:
    tensors = tuple(_tensor(graph.Tensors(i), index, i, buffers) for i in range(graph.TensorsLength()))
    for tensor in tensors:
        for other in tensor.quantization.details_tensors if tensor.quantization else ():
            _in_range(other, len(tensors), "a tensor of quantisation scales")
    operators = tuple(
        _operator(graph.Operators(i), index, i, names, len(tensors)) for i in range(graph.OperatorsLength())
    )
    inputs, outputs = (
        _indices(vector, len(tensors), "a graph input or output", lowest=0)
        for vector in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    )
    return Subgraph(index, _text(graph.Name()), tensors, operators, inputs, outputs)


def _operator(table: Any, subgraph: int, index: int, names: list[tuple[str, bool]], tensors: int) -> Operator:
    name, is_custom = names[_in_range(table.OpcodeIndex(), len(names), "an operator code")]
    inputs = _indices(table.InputsAsNumpy(), tensors, f"an input of {name}", lowest=-1)
    outputs = _indices(table.OutputsAsNumpy(), tensors, f"an output of {name}", lowest=-1)
    return Operator(subgraph, index, name, is_custom, inputs, outputs, table)


def _tensor(table: Any, subgraph: int, index: int, buffers: int) -> Tensor:
    name = _text(table.Name())
    shape = tuple(_numbers(table.ShapeAsNumpy()))
    if len(shape) > MAX_RANK:
        raise ModelError(f"damaged: tensor '{name}' has {len(shape)} dimensions")
    sparsity = table.Sparsity()
    return Tensor(
        subgraph=subgraph,
        index=index,
        name=name,
        shape=shape,
        type=TENSOR_TYPES.get(table.Type(), f"TYPE_{table.Type()}"),
        buffer=_in_range(table.Buffer(), buffers, f"the buffer of tensor '{name}'"),
        quantization=_quantization(table.Quantization(), name),
        is_variable=bool(table.IsVariable()),
        is_sparse=sparsity is not None,
        stored=_stored_when_sparse(sparsity, name) if sparsity is not None else math.prod(shape),
        shape_signature=tuple(_numbers(table.ShapeSignatureAsNumpy())),
    )


def _quantization(table: Any, name: str) -> Quantization | None:
    if table is None:
        return None
    scale = np.array(_numbers(table.ScaleAsNumpy()), np.float32)
    zero_point = np.array(_numbers(table.ZeroPointAsNumpy()), np.int64)
    kind, details = table.DetailsType(), list[int]()
    if UNIONS["QuantizationDetails"].get(kind) == "BlockwiseQuantization":
        # The package knows only CustomQuantization; these are the first two fields of the blockwise table.
        inner = table.Details()
        if inner is None:
            raise ModelError(f"damaged: tensor '{name}' has a quantisation of a kind that is then not described")
        offsets = [inner.Offset(slot) for slot in (4, 6)]
        if offsets[0]:  # without scales, zero points would mean nothing
            details = [inner.Get(number_types.Int32Flags, inner.Pos + offset) for offset in offsets if offset]
    if not kind and not len(scale):
        return None
    if len(zero_point) not in (0, 1, len(scale)):
        raise ModelError(f"tensor '{name}' has {len(scale)} scales but {len(zero_point)} zero points")
    holders = tuple(tensor for tensor in details if tensor > 0)
    return Quantization(scale, zero_point, table.QuantizedDimension(), bool(kind), holders)


def _stored_when_sparse(sparsity: Any, name: str) -> int:
    """Elements that a sparse tensor stores: dense levels multiply, a compressed level ends at its last segment."""
    stored = 1
    levels = sparsity.DimMetadataLength()
    for i in range(min(levels, 2 * MAX_RANK)):
        level = sparsity.DimMetadata(i)
        if level.Format() == tflite.DimensionType.DENSE:
            stored *= level.DenseSize()
        else:
            segments = _sparse_vector(level.ArraySegments(), level.ArraySegmentsType())
            stored = int(segments[-1]) if len(segments) == stored + 1 else -1
        if stored < 0:
            break
    if stored < 0 or levels > 2 * MAX_RANK:  # blocks add a level for each dimension at most
        raise ModelError(f"damaged: the sparsity of tensor '{name}' contradicts itself")
    return stored


def _sparse_vector(table: Any, kind: int) -> npt.NDArray[Any]:
    reader = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}.get(kind)
    if table is None or reader is None:
        return np.zeros(0, np.int32)
    vector = reader()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(_numbers(vector.ValuesAsNumpy()))


def _check_spans(buffers: Iterable[Span], structure: npt.NDArray[np.int64]) -> None:
    """Refuse buffers that overlap each other or the structure; two buffers may name the very same bytes."""
    spans = sorted({span for span in buffers if span.size})
    for before, after in pairwise(spans):
        if after.start < before.stop:
            raise ModelError(f"damaged: two buffers overlap at byte {after.start}")
    starts = np.sort(structure[:, 0])
    stops = np.maximum.accumulate(structure[np.argsort(structure[:, 0], kind="stable"), 1])
    for span in spans:
        begun = int(np.searchsorted(starts, span.stop, "left"))
        if begun and stops[begun - 1] > span.start:
            raise ModelError(f"damaged: the buffer at byte {span.start} overlaps the structure of the file")


def _in_range(index: int, count: int, what: str) -> int:
    if not 0 <= index < count:
        raise ModelError(f"damaged: {what} has index {index}, but there are only {count}")
    return index


def _indices(vector: Any, count: int, what: str, lowest: int) -> tuple[int, ...]:
    indices = tuple(_numbers(vector))
    for index in indices:
        if not lowest <= index < count:
            raise ModelError(f"damaged: {what} refers to tensor {index}, but there are only {count}")
    return indices


def _numbers(vector: Any) -> list[Any]:
    """A vector of the `tflite` package as a list; an absent one reads as the integer 0."""
    return [] if isinstance(vector, int) else vector.tolist()


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", errors="replace")
