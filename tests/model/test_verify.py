from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from support.crafting import craft
from support.fixture_models import FOLDER, MODELS

from tflite_cluster.errors import ModelError
from tflite_cluster.model.layout import TABLES, UNIONS, Field
from tflite_cluster.model.read import open_model
from tflite_cluster.model.verify import verify

REPOSITORY = Path(__file__).parents[2]
SMALL = FOLDER / "fully_connected_odd_int4.tflite"

NEWER_TABLES = {"BlockwiseQuantization", "ExternalBuffer", "ExternalBufferGroup"}
NEWER_FIELDS = {"external_buffer", "external_buffers", "external_buffer_groups"}
"""What the tflite package does not know."""


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


class Recorder:
    """Stands in for a table whose fields are all absent, and keeps which vtable entries were looked up."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def Offset(self, entry: int) -> int:  # noqa: N802
        self.asked.append(entry)
        return 0


def accessor_of(field: Field) -> str:
    return camel(field.name) + ("Length" if field.kind in ("tables", "vector") else "")


def entry_of(table: str, accessor: str) -> int:
    """The vtable entry that the package looks up first for a field."""
    reader, recorder = getattr(tflite, table)(), Recorder()
    reader._tab = recorder
    getattr(reader, accessor)()
    return recorder.asked[0]


def test_the_layout_is_what_the_schema_says() -> None:
    subprocess.run([sys.executable, REPOSITORY / "tools" / "make_layout.py", "--check"], check=True)


@pytest.mark.parametrize("table", [table for table in TABLES if table not in NEWER_TABLES])
def test_the_layout_agrees_with_the_tflite_package(table: str) -> None:
    known = [field for field in TABLES[table] if hasattr(getattr(tflite, table), accessor_of(field))]
    assert {field.name for field in TABLES[table]} - {field.name for field in known} <= {
        "deprecated_tag",
        *NEWER_FIELDS,
    }
    for field in known:
        assert entry_of(table, accessor_of(field)) == 4 + 2 * field.slot, field.name
    for field in TABLES[table]:
        if field.kind == "union":
            assert entry_of(table, camel(field.name) + "Type") == 4 + 2 * (field.slot - 1)


@pytest.mark.parametrize("union", UNIONS)
def test_the_unions_agree_with_the_tflite_package(union: str) -> None:
    members = vars(getattr(tflite, union))
    known = {code: table for code, table in UNIONS[union].items() if table != "BlockwiseQuantization"}
    assert known == {members[table]: table for table in known.values()}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_honest_files_pass(path: Path) -> None:
    data = path.read_bytes()
    structure = verify(memoryview(data))
    assert structure.min() == 0
    assert structure.max() <= len(data)
    assert (structure[:, 0] < structure[:, 1]).all()


def refused(data: bytes, why: str) -> None:
    """The file is refused for this reason, and before anyone gets impatient."""
    start = time.perf_counter()
    with pytest.raises(ModelError, match=why):
        open_model(data)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("length", [8, 12, 40])
def test_a_file_cut_short_is_called_damaged(length: int) -> None:
    refused(MODELS[0].read_bytes()[:length], "damaged")


@pytest.mark.parametrize("references", [2_000, 130_000], ids=["16 KB", "1 MB"])
def test_a_bomb_of_tables_is_refused(references: int) -> None:
    graph = {"tensors": [{"name": b"again"}] * references}
    refused(craft({"subgraphs": [graph] * references, "buffers": [{}]}), "hostile")


def test_a_bomb_of_long_vectors_is_refused() -> None:
    scale = np.ones(50_000, np.float32)
    tensors = [{"quantization": {"scale": scale}} for _ in range(1_000)]
    refused(craft({"subgraphs": [{"tensors": tensors}], "buffers": [{}]}), "hostile")


def test_a_tensor_without_end_of_dimensions_is_refused() -> None:
    tensor = {"shape": np.full(250_000, 2**31 - 1, np.int32)}
    refused(craft({"subgraphs": [{"tensors": [tensor]}], "buffers": [{}]}), "dimensions")


def test_every_truncation_is_refused() -> None:
    data = SMALL.read_bytes()
    for length in range(len(data)):
        with pytest.raises(ModelError):
            open_model(data[:length])


@pytest.mark.parametrize("word", [0xFFFFFFFF, 0xFFFFFFFC, 0x80000000, 0x7FFFFFFC])
def test_a_word_near_the_end_of_the_numbers_never_leads_astray(word: int) -> None:
    data = SMALL.read_bytes()
    failures = 0
    for position in range(0, len(data) - 3, 4):
        changed = data[:position] + struct.pack("<I", word) + data[position + 4 :]
        try:
            open_model(changed)
        except ModelError:
            failures += 1
    assert failures > 50


def outside(*spans: tuple[int, int]) -> bytes:
    """A model with 64 bytes behind it and buffers there, each (offset from the end of the structure, size)."""

    def crafted(base: int) -> bytes:
        buffers = [{"offset": (base + offset), "size": size} for offset, size in spans]
        return craft({"subgraphs": [{}], "buffers": buffers})

    base = len(crafted(0))
    return crafted(base) + bytes(64)


def test_buffers_outside_the_structure_are_found() -> None:
    data = outside((0, 32), (32, 32), (0, 32))
    start = len(data) - 64
    assert [(span.start - start, span.size) for span in open_model(data).buffers] == [(0, 32), (32, 32), (0, 32)]


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([(0, 65)], "outside the file"),
        ([(2**64 - 2**10, 2**10)], "outside the file"),
        ([(0, 2**64 - 1)], "outside the file"),
        ([(0, 32), (31, 32)], "two buffers overlap"),
        ([(0, 64), (8, 8)], "two buffers overlap"),
        ([(-1, 16)], "overlaps the structure"),
        ([(-40, 100)], "overlaps the structure"),
    ],
)
def test_buffers_that_lie_wrong_are_refused(spans: list[tuple[int, int]], why: str) -> None:
    refused(outside(*spans), why)


def test_a_buffer_that_ends_beyond_the_numbers_is_refused() -> None:
    refused(craft({"subgraphs": [{}], "buffers": [{"offset": 2**64 - 64, "size": 128}]}), "outside the file")


def root_and_vtable(data: bytes) -> tuple[int, int]:
    (root,) = struct.unpack_from("<I", data)
    return root, root - struct.unpack_from("<i", data, root)[0]


@pytest.mark.parametrize("size", [0, 2, 5, 0xFFFE])
@pytest.mark.parametrize("half", ["vtable", "object"])
def test_impossible_vtables_are_refused(size: int, half: str) -> None:
    data = bytearray(craft({"version": 3, "subgraphs": [{}]}))
    _, vtable = root_and_vtable(data)
    struct.pack_into("<H", data, vtable + (0 if half == "vtable" else 2), size)
    refused(bytes(data), "damaged")


@pytest.mark.parametrize("distance", [2**31 - 1, -(2**31), 1_000])
def test_a_vtable_outside_the_file_is_refused(distance: int) -> None:
    data = bytearray(craft({"version": 3, "subgraphs": [{}]}))
    struct.pack_into("<i", data, root_and_vtable(data)[0], distance)
    refused(bytes(data), "damaged")


@pytest.mark.parametrize("entry", [1, 3, 60_000])
@pytest.mark.parametrize("slot", range(9))
def test_a_field_outside_its_table_is_refused(slot: int, entry: int) -> None:
    tensor: dict[str, Any] = {"shape": np.ones(1, np.int32), "type": 1, "buffer": 0, "name": b"", "is_variable": 0}
    tensor |= {"quantization": {}, "sparsity": {}, "shape_signature": np.ones(1, np.int32), "has_rank": 1}
    data = bytearray(craft({"subgraphs": [{"tensors": [tensor]}], "buffers": [{}]}))
    table = tflite.Model.GetRootAs(data, 0).Subgraphs(0).Tensors(0)._tab
    vtable = table.Pos - struct.unpack_from("<i", data, table.Pos)[0]
    struct.pack_into("<H", data, vtable + 4 + 2 * slot, entry)
    refused(bytes(data), "outside its table")


def test_the_type_of_an_absent_union_is_checked_too() -> None:
    tensor = {"quantization": {"details": (2, None)}}
    data = bytearray(craft({"subgraphs": [{"tensors": [tensor]}], "buffers": [{}]}))
    table = tflite.Model.GetRootAs(data, 0).Subgraphs(0).Tensors(0).Quantization()._tab
    vtable = table.Pos - struct.unpack_from("<i", data, table.Pos)[0]
    struct.pack_into("<H", data, vtable + 12, 60_000)
    refused(bytes(data), "outside its table")


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(8), b"\x08\0\0\0TFL2" + bytes(64), b"PK\x01\x02" + bytes(64)])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    refused(data, "identifier")


def test_an_empty_file_a_folder_and_no_file_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.tflite"
    empty.touch()
    for path, why in [(empty, "empty"), (tmp_path, "a folder"), (tmp_path / "none", "cannot be read")]:
        with pytest.raises(ModelError, match=why):
            open_model(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.tflite"
    os.mkfifo(pipe)
    with pytest.raises(ModelError, match="not a regular file"):
        open_model(pipe)
