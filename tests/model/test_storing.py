"""Storing weights as int8 codes changes what it must, and nothing else: seen by another reader, and by running it."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st
from support.crafting import craft
from support.fixture_models import FOLDER, MODELS
from support.mutations import mutant
from support.storing_cases import expected_dump, finely, patched_model, storable_weights, stored_model, unpacked

from tflite_cluster.errors import ModelError
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.storing.archive import archive_edits
from tflite_cluster.model.storing.obstacle import int8_obstacle
from tflite_cluster.model.storing.store import Stored, require_movable, write_stored

pytest.importorskip("ai_edge_litert", reason="the dump reads models by LiteRT's own schema")
from support.dump import digest, dump, lines

FLOATS = [path for path in MODELS if storable_weights(open_model(path))]
ZOO = Path(os.environ.get("TFLITE_CLUSTER_ZOO") or "no-zoo")
ZOO_MODELS = sorted(path for part in ("models", "variety") for path in ZOO.glob(f"{part}/*.tflite"))
DENSE = FOLDER / "fully_connected_float32.tflite"
NOT_RUNNING = {"custom_operator_float32", "transpose_conv_bias_float32"}  # without a delegate


def stem(path: Path) -> str:
    return path.stem


def all_stored(path: Path, *, per_channel: bool = True, kind: str = "INT8") -> tuple[bytes, list[Stored]]:
    model = open_model(path)
    stored = [finely(model, weight, per_channel=per_channel, kind=kind) for weight in storable_weights(model)]
    return stored_model(model, stored), stored


def require_same(after: bytes, expected: Any) -> None:
    assert list(lines(dump(after))) == list(lines(expected))


@pytest.mark.parametrize(("kind", "per_channel"), [("INT8", True), ("INT8", False), ("INT4", False)])
@pytest.mark.parametrize("path", MODELS, ids=stem)
def test_only_what_must_change_does(path: Path, kind: str, per_channel: bool) -> None:
    after, stored = all_stored(path, per_channel=per_channel, kind=kind)
    require_same(after, expected_dump(path.read_bytes(), stored))
    if not stored:
        assert after == path.read_bytes()


@pytest.mark.zoo
@pytest.mark.parametrize("path", ZOO_MODELS, ids=stem)
def test_only_what_must_change_does_in_real_models(path: Path) -> None:
    after, stored = all_stored(path)
    require_same(after, expected_dump(path.read_bytes(), stored))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_choice_of_weights_leaves_the_rest_as_it_is(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FLOATS))
    model = open_model(path)
    chosen = data.draw(st.lists(st.sampled_from(storable_weights(model)), unique_by=lambda weight: weight.span))
    kinds = [data.draw(st.sampled_from(["INT8"] if one.is_table else ["INT8", "INT4"])) for one in chosen]
    stored = [
        finely(model, weight, per_channel=data.draw(st.booleans()), kind=kind)
        for weight, kind in zip(chosen, kinds, strict=True)
    ]
    after = stored_model(model, stored)
    require_same(after, expected_dump(path.read_bytes(), stored))

    new = {weight.tensor.name: weight for weight in select(open_model(after))[0]}
    assert len(new) == len({weight.tensor.name for weight in select(model)[0]})
    for one in stored:
        suffix = f"_{one.type.lower()}" if one.tensors[0].type == "FLOAT32" else ""
        weight = new[one.name + suffix]
        assert (weight.storage.type, weight.zero) == (one.type, 0)
        (old,) = (each for each in chosen if each.span == one.span)
        assert {user.operator.name for user in weight.users} == {user.operator.name for user in old.users}
        codes = weight.storage.decode(memoryview(after)[weight.span.start : weight.span.stop], weight.count)
        assert np.array_equal(codes, one.codes.reshape(-1))
        assert len(weight.tensors) == len(one.tensors)


@pytest.mark.parametrize("kernels", Kernels)
@pytest.mark.parametrize("path", [path for path in FLOATS if path.stem not in NOT_RUNNING], ids=stem)
def test_computes_what_the_unpacked_values_compute(path: Path, kernels: Kernels, tmp_path: Path) -> None:
    after, stored = all_stored(path)
    model = open_model(path)
    expected = outputs(patched_model(model, stored), kernels, tmp_path / "patched.tflite")
    found = outputs(after, kernels, tmp_path / "stored.tflite")
    rounds = any(one.tensors[0].type == "FLOAT16" for one in stored)  # the patched model, to float16
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=4e-3 if rounds else 0, err_msg=name)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    "name", ["conv_2d_float32", "depthwise_conv_2d_float16", "shared_buffer_float32", "outside_float32"]
)
def test_int4_codes_are_unpacked_into_the_same_values(name: str, per_channel: bool, tmp_path: Path) -> None:
    """By kernels that are the same for both: XNNPACK leaves the operators that read int4 codes to others."""
    path = FOLDER / f"{name}.tflite"
    after, stored = all_stored(path, per_channel=per_channel, kind="INT4")
    expected = outputs(patched_model(open_model(path), stored), Kernels.NO_DELEGATE, tmp_path / "patched.tflite")
    found = outputs(after, Kernels.NO_DELEGATE, tmp_path / "stored.tflite")
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=4e-3 if "float16" in name else 0, err_msg=key)


def test_an_odd_number_of_int4_codes_leaves_half_a_byte() -> None:
    model = open_model(dense_model({"data": np.arange(-22, 23, dtype=np.float32).tobytes()}, shape=(9, 5)))
    (weight,) = storable_weights(model)
    one = finely(model, weight, per_channel=False, kind="INT4")
    after = open_model(stored_model(model, [one]))
    (found,) = select(after)[0]
    assert found.span.size == 23
    assert np.array_equal(found.codes(after), one.codes.reshape(-1))
    assert after.bytes_of(found.span)[-1] >> 4 == 0


def test_one_entry_of_dequantize_serves_float16_and_int4() -> None:
    """Biases stay float16, and weights raise the version of the entry that both use."""
    after, stored = all_stored(FOLDER / "conv_2d_float16.tflite", per_channel=False, kind="INT4")
    model = open_model(after)
    assert stored
    unpacked_from = {
        graph.tensors[operator.inputs[0]].type
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.name == "DEQUANTIZE"
    }
    assert unpacked_from == {"INT4", "FLOAT16"}
    root = tflite.Model.GetRootAs(after, 0)
    codes = [root.OperatorCodes(index) for index in range(root.OperatorCodesLength())]
    assert [code.Version() for code in codes if code.BuiltinCode() == tflite.BuiltinOperator.DEQUANTIZE] == [6]


def outputs(model: bytes, kernels: Kernels, path: Path) -> dict[str, Any]:
    path.write_bytes(model)
    opened = OpenModel(path, kernels, threads=1)
    results = {}
    for signature in opened.interface().signatures:
        dice = np.random.default_rng(1)
        inputs = {}
        for spec in signature.inputs:
            shape = tuple(max(1, length) for length in spec.shape)
            kind = np.dtype(spec.dtype)
            numbers = dice.standard_normal(shape) if kind.kind == "f" else dice.integers(0, 2, shape)
            inputs[spec.name] = np.full(shape, b"a", object) if kind.kind in "SO" else numbers.astype(kind)
        for name, value in opened.run(signature.key, inputs).items():
            results[f"{signature.key}.{name}"] = value
    return results


@pytest.mark.parametrize("absolute", [True, False])
def test_an_appended_archive_is_still_found(absolute: bool) -> None:
    """Offsets from the beginning of the file move with it; those from the beginning of the archive stay."""
    original = DENSE.read_bytes()
    packed = io.BytesIO(original if absolute else b"")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("labels.txt", "yes\nno\n")
        archive.writestr("more/labels.txt", "perhaps\n" * 100)
    model = open_model(packed.getvalue() if absolute else original + packed.getvalue())
    after = stored_model(model, [finely(model, weight, per_channel=True) for weight in storable_weights(model)])
    assert len(after) < model.size

    end = after.rindex(b"PK\x05\x06")
    size, directory = struct.unpack_from("<II", after, end + 12)
    assert (directory == end - size) is absolute
    with zipfile.ZipFile(io.BytesIO(after)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"yes\nno\n"
    if absolute:
        for _ in range(2):
            (local,) = struct.unpack_from("<I", after, directory + 42)
            assert after[local : local + 4] == b"PK\x03\x04"
            directory += 46 + sum(struct.unpack_from("<3H", after, directory + 28))


PIECES = [b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04", bytes(8), bytes(22), bytes(42)]


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=8),
    numbers=st.tuples(st.integers(0, 3), st.integers(0, 200), st.integers(0, 400)),
    tail=st.integers(0, 24),
)
def test_a_hostile_archive_is_refused_or_passed_over(
    pieces: list[bytes], numbers: tuple[int, int, int], tail: int
) -> None:
    """Whatever stands behind a model, also the beginning of an end."""
    data = b"".join(pieces) + b"PK\x05\x06" + bytes(6) + struct.pack("<HII", *numbers) + bytes(2)
    with contextlib.suppress(ModelError):
        archive_edits(memoryview(data[: len(data) - tail]), lambda position: position)


def test_alignment_above_the_usual_is_kept() -> None:
    data = {"data": np.arange(3000, dtype=np.float32).tobytes()}
    model = open_model(dense_model(data, outside=4096))
    (weight,) = storable_weights(model)
    after = open_model(stored_model(model, [finely(model, weight, per_channel=True)]))
    assert {span.start % 1024 for span in after.buffers if span.size} == {0}


def dense_model(weights: dict[str, Any], *, outside: int = 0, shape: tuple[int, int] = (50, 60), **extra: Any) -> bytes:
    """A fully connected layer, and a second buffer, which may both stand behind the flatbuffer."""
    ints = lambda *values: np.array(values, np.int32)  # noqa: E731
    tensors = [
        {"shape": ints(1, shape[1]), "name": b"x"},
        {"shape": ints(*shape), "name": b"w", "buffer": 1},
        {"shape": ints(1, shape[0]), "name": b"y"},
        {"shape": ints(7), "name": b"other", "buffer": 2},
    ]
    operators = [{"inputs": ints(0, 1), "outputs": ints(2)}]
    graph = {"tensors": tensors, "operators": operators, "inputs": ints(0), "outputs": ints(2)}
    code = {"deprecated_builtin_code": 9, "builtin_code": 9}
    model = {"operator_codes": [code], "subgraphs": [graph], "version": 3}
    if not outside:
        return craft(model | {"buffers": [{}, weights, {"data": b"abcdefg" * 4}]} | extra)
    places = [{}, {"offset": outside, "size": 12000}, {"offset": 4 * outside, "size": 28}]
    return (
        craft(model | {"buffers": places} | extra).ljust(outside, b"\0")
        + weights["data"].ljust(3 * outside)
        + b"a" * 28
    )


def test_one_dequantize_serves_all_consumers_of_a_tensor() -> None:
    model = open_model(FOLDER / "shared_buffer_float32.tflite")
    (weight,) = storable_weights(model)
    assert len(weight.tensors) > 1
    after = open_model(stored_model(model, [finely(model, weight, per_channel=True)]))
    made = [operator.name for subgraph in after.subgraphs for operator in subgraph.operators].count("DEQUANTIZE")
    assert made == len(weight.tensors)


def test_codes_must_fit() -> None:
    model = open_model(DENSE)
    weight = storable_weights(model)[0]
    good = finely(model, weight, per_channel=True)
    with pytest.raises(ValueError, match="codes of"):
        Stored.of(weight, good.codes[1:], good.scale, good.axis)
    with pytest.raises(ValueError, match="scales along axis"):
        Stored.of(weight, good.codes, good.scale[1:], good.axis)
    with pytest.raises(ValueError, match="INT4"):
        Stored.of(weight, good.codes, good.scale, good.axis, "INT4")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sparse_float32", "sparse"),
        ("conv_2d_int8", "INT8"),
        ("cast_bfloat16", "BFLOAT16"),
        ("batch_matmul_float32", "slower"),
    ],
)
def test_weights_that_cannot_be_stored_have_a_reason(name: str, reason: str) -> None:
    model = open_model(FOLDER / f"{name}.tflite")
    reasons = [int8_obstacle(model, weight) for weight in select(model)[0]]
    assert all(found is not None and reason in found for found in reasons)


@pytest.mark.parametrize("name", ["gather_float32", "embedding_lookup_float32", "tied_embedding_float32"])
def test_large_tables_stay_where_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(FOLDER / f"{name}.tflite")
    (weight,) = storable_weights(model)
    monkeypatch.setattr("tflite_cluster.model.storing.obstacle._LARGEST_TABLE", 4 * weight.count - 1)
    assert "unpacked into memory" in (int8_obstacle(model, weight) or "")


@pytest.mark.parametrize("name", [b"model_control_dependencies", b"OfflineMemoryAllocation"])
def test_models_whose_metadata_count_operators_or_tensors_are_left_alone(name: bytes) -> None:
    weights = {"data": bytes(12000)}
    model = open_model(dense_model(weights, metadata=[{"name": name, "buffer": 2}]))
    (weight,) = select(model)[0]
    assert "cannot take another operator" in (int8_obstacle(model, weight) or "")


def test_parts_of_an_unknown_schema_are_kept_or_refused() -> None:
    """A number that might lead across a cut may be a reference or not: the file cannot be written."""
    original = bytearray(dense_model({"data": np.ones(3000, np.float32).tobytes()}))
    model = open_model(bytes(original))
    stored = [finely(model, weight, per_channel=True) for weight in storable_weights(model)]
    require_same(stored_model(model, stored), expected_dump(bytes(original), stored))
    for distance, refused in ((2, False), (len(original) - 100 & ~3, True)):
        data = bytes(with_unknown_field(bytes(original), distance))
        model = open_model(data)
        stored = [finely(model, weight, per_channel=True) for weight in storable_weights(model)]
        if refused:
            with pytest.raises(ModelError, match="newer schema"):
                write_stored(model, stored, io.BytesIO())
        else:
            stored_model(model, stored)


def test_options_that_lead_out_of_the_file_are_refused() -> None:
    """Those of most operators are not verified, as nothing else opens them."""
    data = bytearray((FOLDER / "svdf_float32.tflite").read_bytes())
    options = tflite.Model.GetRootAs(data, 0).Subgraphs(0).Operators(0).BuiltinOptions()
    struct.pack_into("<i", data, options.Pos, -(1 << 30))
    model = open_model(bytes(data))
    stored = [finely(model, weight, per_channel=True) for weight in storable_weights(model)]
    with pytest.raises(ModelError, match="the given bytes: damaged: the options"):
        stored_model(model, stored)


def test_options_that_share_a_vtable_too_long_for_them_are_refused() -> None:
    """Each operator would take as long as the vtable is: hundreds of millions of steps for 200 KB."""
    ints = lambda *values: np.array(values, np.int32)  # noqa: E731
    tensors = [{"shape": ints(1, 60)}, {"shape": ints(50, 60), "buffer": 1}, {"shape": ints(1, 50)}]
    options = {"builtin_options_type": 8, "builtin_options": (8, {"keep_num_dims": True})}
    unknown = [{"inputs": ints(2), "outputs": ints(2), **deepcopy(options)} for _ in range(3000)]
    operators = [{"inputs": ints(0, 1), "outputs": ints(2)}, *unknown]
    graph = {"tensors": tensors, "operators": operators, "inputs": ints(0), "outputs": ints(2)}
    code = {"deprecated_builtin_code": 9, "builtin_code": 9}
    weights = {"data": np.ones(3000, np.float32).tobytes()}
    crafted = craft({"operator_codes": [code], "subgraphs": [graph], "version": 3, "buffers": [{}, weights]})
    data = bytearray(crafted.ljust(len(crafted) + 3 & ~3, b"\0"))
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    for index in range(1, 3001):
        table = subgraph.Operators(index)
        place = table.BuiltinOptions().Pos
        struct.pack_into("<i", data, place, place - len(data))
        data[table._tab.Pos + table._tab.Offset(10)] = 25  # a kind that is not verified, as nothing opens it
    data += struct.pack("<HH", 65534, 4) + b"\4\0" * 32765 + bytes(70_000)
    model = open_model(bytes(data))
    began = time.process_time()
    with pytest.raises(ModelError, match="more fields than there is room for"):
        require_movable(model, storable_weights(model))
    assert time.process_time() - began < 5


def test_hostile_files_are_stored_or_refused() -> None:
    written = 0
    for number in range(150):
        try:
            model = open_model(mutant(number))
            kind = ("INT8", "INT4")[number % 2]
            stored = [finely(model, weight, per_channel=False, kind=kind) for weight in storable_weights(model)]
            after = stored_model(model, stored)
        except ModelError:
            continue
        open_model(after)
        written += bool(stored)
    assert written


def with_unknown_field(data: bytes, value: int) -> bytes:
    """The file with a new root table in front, a copy of the old one but for a 4-byte field at the end."""
    root = struct.unpack_from("<I", data, 0)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    length, extent = struct.unpack_from("<HH", data, vtable)
    slots = 30
    entries = [*struct.unpack_from(f"<{(length - 4) // 2}H", data, vtable + 4)]
    entries += [0] * (slots - len(entries)) + [extent]
    new_vtable = struct.pack(f"<{len(entries) + 2}H", 4 + 2 * len(entries), extent + 4, *entries)
    new_vtable += bytes(-len(new_vtable) % 16)
    table = bytearray(data[root : root + extent]) + struct.pack("<I", value)
    front = 8 + 8 + len(new_vtable) + (len(table) + 15 & ~15)
    shift = front - 8
    position = 16 + len(new_vtable)
    struct.pack_into("<i", table, 0, len(new_vtable))
    for slot, offset in enumerate(entries[:-1]):
        if offset and slot:  # all fields but the version are references
            old = root + offset + struct.unpack_from("<I", data, root + offset)[0]
            struct.pack_into("<I", table, offset, old + shift - position - offset)
    head = struct.pack("<I", position) + data[4:8] + bytes(8) + new_vtable + table
    return head.ljust(front, b"\0") + data[8:]


def test_unpacking_is_what_the_reader_says() -> None:
    model = open_model(DENSE)
    one = finely(model, storable_weights(model)[0], per_channel=True)
    (weight,) = (
        weight for weight in select(open_model(stored_model(model, [one])))[0] if weight.storage.type == "INT8"
    )
    assert weight.scale_groups == weight.channels
    np.testing.assert_allclose(one.codes * weight.scale[:, None], unpacked(one), rtol=1e-6)
    assert digest(one.codes.tobytes())
