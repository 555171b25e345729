"""Store float weights as int8 or int4 codes behind DEQUANTIZE, and everything else as it was.

The consumers of a weight keep reading the float tensor that they always read. For a float32 weight that tensor loses
its bytes to a new integer tensor, from which a new DEQUANTIZE operator, ahead of all others, makes it. For a float16
weight, which has its DEQUANTIZE already, the constant itself becomes integer. LiteRT unpacks either once.

Nothing is packed anew: codes take the place of the bytes they stand for, what is left over is cut out, new tables are
put behind the vectors that list them, and all that stays moves by multiples of the file's alignment.
"""

from __future__ import annotations

import io
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import tflite

from ...errors import ModelError
from ..fields import builtin_code, field_at, root, tables_of, target_at
from ..read import Model, Tensor
from ..storage import STORAGES, Storage
from ..verify import Span
from ..weight import Weight
from .archive import archive_edits
from .references import find_references
from .splice import Splice, Splicing
from .tables import DEQUANTIZE, NewTable, dequantize, dequantize_code, integer_tensor

_ALIGNMENT: Final = 16
_LARGEST_ALIGNMENT: Final = 4096
_SCALAR_ALIGNMENT: Final = 8
RUNTIME_VERSION: Final = "min_runtime_version"
_RUNTIMES: Final = {2: "1.14.0", 5: "2.7.0", 6: "2.18.0"}
"""Version of DEQUANTIZE -> the first runtime that has it: 2 takes int8 with one scale, 5 with several, 6 int4."""

SUFFIXES: Final = {"INT8": "_int8", "INT4": "_int4"}
"""Types that codes may have -> what is put behind the name of a float32 tensor to name its codes."""


@dataclass(frozen=True)
class Stored:
    """A constant at a place in the file with all its tensors, and the codes that will stand for it:
    real value = scale x code.

    codes: of the tensors' shape. scale: float32 (1,), or one for each index of `axis`. type: one of SUFFIXES.
    """

    span: Span
    tensors: tuple[Tensor, ...]
    codes: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    axis: int | None = None
    type: str = "INT8"

    def __post_init__(self) -> None:
        shape = self.tensors[0].shape
        if self.codes.dtype != np.int8 or self.codes.shape != shape:
            raise ValueError(f"codes of {self.name} must be int8 of shape {shape}")
        if self.scale.shape != ((1,) if self.axis is None else (shape[self.axis],)):
            raise ValueError(f"{len(self.scale)} scales along axis {self.axis} do not fit the shape {shape}")
        reach = self.codes.clip(self.storage.low, self.storage.high)
        if not np.array_equal(reach, self.codes):
            raise ValueError(f"codes of {self.name} must be {self.type}")

    @property
    def storage(self) -> Storage:
        """How the codes become bytes."""
        return STORAGES[self.type]

    @property
    def nbytes(self) -> int:
        """Bytes that the codes take."""
        return self.storage.nbytes(self.codes.size)

    @property
    def content(self) -> memoryview:
        """The codes as they stand in the file; bits left over are 0."""
        return self.storage.encode(self.codes.reshape(-1), memoryview(bytes(self.nbytes)))

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The real values, of the tensor's shape, as the kernels compute them."""
        axis = self.axis or 0
        behind = self.codes.ndim - axis - 1
        scale = self.scale if self.axis is None else self.scale.reshape(-1, *[1] * behind)
        return self.codes * scale

    @classmethod
    def of(
        cls,
        weight: Weight,
        codes: npt.NDArray[np.int8],
        scale: npt.NDArray[np.float32],
        axis: int | None = None,
        type: str = "INT8",
    ) -> Stored:
        """A weight and its codes."""
        return cls(weight.span, weight.tensors, codes, scale, axis, type)

    @property
    def name(self) -> str:
        """The name of the first tensor."""
        return self.tensors[0].name

    @property
    def is_fast(self) -> bool:
        """Whether XNNPACK unpacks the codes, and then runs the operators that read them."""
        return self.type == "INT8"

    @property
    def version(self) -> int:
        """The version of DEQUANTIZE that it takes."""
        if self.type == "INT4":
            return 6
        return 2 if len(self.scale) == 1 else 5


def write_stored(model: Model, stored: Sequence[Stored], file: io.BufferedIOBase) -> None:
    """Write the model with these weights as codes; each must be free of obstacles (see `int8_obstacle`).

    `file` is empty, and can be written and sought. Raises ModelError for a model whose parts cannot be moved.
    """
    try:
        _write(model, stored, file)
    except ModelError as error:
        raise ModelError(f"{model.label}: {error}") from None


def require_movable(model: Model, weights: Sequence[Weight]) -> None:
    """Raise ModelError, before any work is done, for a model whose weights could not be stored in the end."""
    if weights:
        one = np.ones(1, np.float32)
        nothing = [Stored.of(weight, np.zeros(weight.tensor.shape, np.int8), one) for weight in weights]
        write_stored(model, nothing, _Nowhere())


class _Nowhere(io.BufferedIOBase):
    """A file that forgets what is written."""

    def write(self, content: object, /) -> int:
        return len(memoryview(content))  # type: ignore[arg-type]

    def seek(self, *_: int) -> int:
        return 0


def _write(model: Model, stored: Sequence[Stored], file: io.BufferedIOBase) -> None:
    plan = _Plan(model)
    plan.add_codes(stored)
    plan.add_tables(stored)
    splicing = Splicing(plan.splices)
    plan.edits |= dict(_outside_offsets(model, splicing))
    plan.edits |= archive_edits(model.data, splicing.moved)
    splicing.write(model.data, find_references(model.data), plan.edits, file)


@dataclass
class _Plan:
    """What changes, by place in the old file."""

    model: Model
    splices: list[Splice] = field(default_factory=list)
    edits: dict[int, memoryview] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.model.data
        self.root = root(self.data)
        self.subgraphs = tables_of(self.data, target_at(self.data, "Model", self.root, "subgraphs"))
        self.buffers = tables_of(self.data, target_at(self.data, "Model", self.root, "buffers"))
        self.alignment = _alignment(self.model)

    def add_codes(self, stored: Sequence[Stored]) -> None:
        """Codes in the place of float bytes, and cuts of whole multiples of the alignment behind them."""
        lengths = dict[Span, int]()
        for one in stored:
            span = one.span
            cut = (span.size - one.nbytes) // self.alignment * self.alignment
            kept = bytearray(span.size - cut)
            kept[: one.nbytes] = one.content
            self.edits[span.start] = memoryview(kept)
            self.splices.append(Splice(span.stop - cut, span.stop))
            lengths[span] = one.nbytes
        for span, table in zip(self.model.buffers, self.buffers, strict=True):
            if span not in lengths:
                continue
            if _is_outside(self.data, table):
                place = field_at(self.data, "Buffer", table, "size")
                assert place is not None
                self.edits[place] = memoryview(struct.pack("<Q", lengths[span]))
            else:
                self._put(span.start - 4, lengths[span])

    def add_tables(self, stored: Sequence[Stored]) -> None:
        """The new tensors and operators, subgraph by subgraph, and what they ask of the runtime."""
        version = max((one.version for one in stored), default=0)
        if not version:
            return
        code = self._dequantize_code(version)
        by_subgraph = defaultdict[int, list[tuple[Stored, Tensor]]](list)
        for one in stored:
            for tensor in one.tensors:
                by_subgraph[tensor.subgraph].append((one, tensor))
        for subgraph, members in by_subgraph.items():
            self._extend_subgraph(subgraph, sorted(members, key=lambda member: member[1].index), code)
        self._require_runtime(_RUNTIMES[version])

    def _extend_subgraph(self, subgraph: int, members: Sequence[tuple[Stored, Tensor]], code: int) -> None:
        position = self.subgraphs[subgraph]
        tables = tables_of(self.data, target_at(self.data, "SubGraph", position, "tensors"))
        tensors, operators = list[NewTable](), list[NewTable]()
        replaced = dict[int, NewTable]()
        for one, tensor in members:
            if tensor.type == "FLOAT16":
                replaced[tensor.index] = self._codes(one, tensor, tables[tensor.index], "")
                continue
            operators.append(dequantize(code, len(tables) + len(tensors), tensor.index))
            tensors.append(self._codes(one, tensor, tables[tensor.index], SUFFIXES[one.type]))
            place = field_at(self.data, "Tensor", tables[tensor.index], "buffer")
            assert place is not None
            self._put(place, 0)
        self._extend(target_at(self.data, "SubGraph", position, "tensors"), last=tensors, replaced=replaced)
        if operators:
            self._extend(target_at(self.data, "SubGraph", position, "operators"), first=operators)

    def _codes(self, one: Stored, tensor: Tensor, table: int, suffix: str) -> NewTable:
        name = target_at(self.data, "Tensor", table, "name")
        signature = target_at(self.data, "Tensor", table, "shape_signature")
        rank = field_at(self.data, "Tensor", table, "has_rank")
        return integer_tensor(
            one.type,
            (b"" if name is None else self._vector(name, np.uint8).tobytes()) + suffix.encode(),
            tensor,
            tensor.buffer,
            one.scale,
            one.axis,
            None if signature is None else tuple(self._vector(signature, np.int32).tolist()),
            rank is not None and bool(self.data[rank]),
        )

    def _vector(self, vector: int, kind: type[np.generic]) -> npt.NDArray[np.generic]:
        return np.frombuffer(self.data, kind, struct.unpack_from("<I", self.data, vector)[0], vector + 4)

    def _dequantize_code(self, version: int) -> int:
        """Place of DEQUANTIZE among the operator codes, added if need be; what is there is brought to that version."""
        vector = target_at(self.data, "Model", self.root, "operator_codes")
        tables = tables_of(self.data, vector)
        for index, table in enumerate(tables):
            reader = tflite.OperatorCode()
            reader.Init(self.data, table)
            place = field_at(self.data, "OperatorCode", table, "version")
            if builtin_code(reader) == DEQUANTIZE and place is not None:
                self._put(place, max(version, reader.Version()))
                return index
        self._extend(vector, last=[dequantize_code(version)])
        return len(tables)

    def _extend(
        self,
        vector: int | None,
        first: Sequence[NewTable] = (),
        last: Sequence[NewTable] = (),
        replaced: dict[int, NewTable] | None = None,
    ) -> None:
        """Put tables ahead of, behind and in the place of those that a vector lists."""
        assert vector is not None
        count = struct.unpack_from("<I", self.data, vector)[0]
        start, replaced = vector + 4, replaced or {}
        entries = len(first) + count + len(last)
        body = bytearray(-(start + 4 * entries) % _SCALAR_ALIGNMENT)
        order = [*range(len(first)), *range(len(first) + count, entries), *(len(first) + index for index in replaced)]
        distances = []
        for entry, table in zip(order, [*first, *last, *replaced.values()], strict=True):
            distances.append(4 * entries + len(body) + table.position - 4 * entry)
            body += table.content
        body += bytes(-(4 * (len(first) + len(last)) + len(body)) % self.alignment)
        ahead, behind = len(first), len(first) + len(last)
        words = struct.pack(f"<{len(distances)}I", *distances)
        self.splices.append(Splice(start, start, words[: 4 * ahead]))
        self.splices.append(Splice(start + 4 * count, start + 4 * count, words[4 * ahead : 4 * behind] + bytes(body)))
        for index, distance in zip(replaced, distances[behind:], strict=True):
            self._put(start + 4 * index, distance)
        self._put(vector, entries)

    def _require_runtime(self, version: str) -> None:
        """Raise what the metadata say of the oldest runtime, where there is room for it."""
        for index, name in self.model.metadata.items():
            span = self.model.buffers[index]
            known = bytes(self.model.bytes_of(span)).rstrip(b"\0").decode(errors="replace")
            if name == RUNTIME_VERSION and len(version) <= span.size and _numbers(known) < _numbers(version):
                self.edits[span.start] = memoryview(version.encode().ljust(span.size, b"\0"))

    def _put(self, place: int, number: int) -> None:
        self.edits[place] = memoryview(struct.pack("<I", number))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _alignment(model: Model) -> int:
    """The largest power of two that all buffers of the file are aligned to, within reason."""
    bits = _LARGEST_ALIGNMENT
    for span in model.buffers:
        if span.size:
            bits |= span.start
    return max(_ALIGNMENT, bits & -bits)


def _is_outside(data: memoryview, buffer: int) -> bool:
    """Whether the bytes of a buffer stand behind the flatbuffer."""
    reader = tflite.Buffer()
    reader.Init(data, buffer)
    return bool(reader.Offset() > 1 and reader.Size() > 1)


def _outside_offsets(model: Model, splicing: Splicing) -> Iterator[tuple[int, memoryview]]:
    """Where the model says how far from the beginning of the file something stands, and what it must say then."""
    data = model.data
    for table in tables_of(data, target_at(data, "Model", root(data), "buffers")):
        place = field_at(data, "Buffer", table, "offset")
        if place is not None and _is_outside(data, table):
            yield place, _moved(data, place, splicing)
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            place = field_at(data, "Operator", operator.table._tab.Pos, "large_custom_options_offset")
            if place is not None and struct.unpack_from("<Q", data, place)[0] > 1:
                yield place, _moved(data, place, splicing)


def _moved(data: memoryview, place: int, splicing: Splicing) -> memoryview:
    return memoryview(struct.pack("<Q", splicing.moved(struct.unpack_from("<Q", data, place)[0])))
