"""What two models differ in: word for word, and by exit code."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER, MODELS
from support.golden import compare
from support.schemas import objects

from tflite_cluster import ModelError, cluster, diff
from tflite_cluster.cli import main
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.report.difference import difference_json

Captured = pytest.CaptureFixture[str]
DENSE = FOLDER / "fully_connected_float32.tflite"
SCHEMA = json.loads((FOLDER.parents[1] / "schema" / "difference.schema.json").read_text(encoding="utf-8"))
LABELLED = FOLDER / "labels_behind_float32.tflite"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_another_kind_is_not_compared(capsys: Captured) -> None:
    """Its bytes, read as weights, would be noise."""
    for content, kind in ((b"LITERTLM" + bytes(100), "LiteRT-LM bundle"), (b"PK\x03\x04" + bytes(100), "zip archive")):
        assert main(pair(DENSE.read_bytes(), content)) == 3
        found = capsys.readouterr().err
        assert f"b.tflite: it is a {kind}" in found.replace("damaged zip", "zip")


def pair(first: bytes, second: bytes) -> list[str]:
    Path("a.tflite").write_bytes(first)
    Path("b.tflite").write_bytes(second)
    return ["diff", "a.tflite", "b.tflite"]


def clustered(path: Path) -> bytes:
    model = cluster(path, clusters=8, run=False, measure=False).model
    assert model is not None
    return model


def test_the_same(capsys: Captured) -> None:
    assert main(pair(DENSE.read_bytes(), DENSE.read_bytes())) == 0
    assert capsys.readouterr().out == "a.tflite and b.tflite are the same.\n"


def rescaled() -> tuple[Path, bytearray]:
    source = FOLDER / "conv_2d_int8.tflite"
    result = cluster(source, measure=False, force=True)
    assert result.model is not None
    assert result.tensors[0].scales
    return source, bytearray(result.model)


@pytest.mark.slow
def test_other_scales_are_no_other_difference() -> None:
    source, changed = rescaled()
    found = diff(source, bytes(changed))
    assert found.only_weights
    weight, bias = found.tensors
    assert weight.rescaled
    assert bias.rescaled
    model = open_model(bytes(changed))
    (after,) = select(model)[0]
    (before,) = select(open_model(source))[0]
    real = [
        each.storage.decode(data[each.span.start : each.span.stop], each.count).reshape(16, -1) * each.scale[:, None]
        for each, data in ((before, memoryview(source.read_bytes())), (after, model.data))
    ]
    assert weight.sqnr == pytest.approx(10 * np.log10(np.sum(real[0] ** 2) / np.sum((real[1] - real[0]) ** 2)))
    assert bias.sqnr is not None
    assert bias.sqnr > 25


@pytest.mark.slow
def test_scales_of_which_only_some_are_new_are_told(capsys: Captured) -> None:
    """A bias in units that do not belong to those of the weight, or a weight whose range is another's."""
    source, changed = rescaled()
    original = source.read_bytes()
    assert main(pair(bytes(changed), original)) == 0
    capsys.readouterr()
    assert main(pair(original, bytes(changed))) == 0
    assert "1 weight and 1 bias, 2 of them with other scales." in capsys.readouterr().out
    analysis = analyse(open_model(source))
    for vectors in map(analysis.scale_vectors, analysis.weights):
        assert vectors is not None
        assert vectors.bias is not None
        changed[vectors.bias.start : vectors.bias.stop] = original[vectors.bias.start : vectors.bias.stop]
    assert main(pair(original, bytes(changed))) == 99
    assert "NOT ONLY WEIGHTS" in capsys.readouterr().out


def test_only_weights_and_biases(capsys: Captured) -> None:
    source = FOLDER / "conv_2d_int8.tflite"
    changed = bytearray(clustered(source))
    model = open_model(source)
    (bias,) = [tensor for tensor in model.tensors if tensor.type == "INT32"]
    start = model.buffers[bias.buffer].start
    changed[start : start + 4] = struct.pack("<i", 77)
    assert main(pair(source.read_bytes(), bytes(changed))) == 0
    compare(capsys.readouterr().out, "diff_weights")


def test_more_than_weights(capsys: Captured) -> None:
    """The head of the file, the name of a tensor, and what is appended."""
    before = LABELLED.read_bytes()
    after = bytearray(clustered(LABELLED))
    after[0] ^= 4
    name = before.index(b"weights")
    after[name] ^= 1
    after[-1] ^= 1
    after[-5] ^= 1
    assert main(pair(before, bytes(after))) == 99
    compare(capsys.readouterr().out, "diff_more")
    assert diff(before, bytes(after)).changed_elsewhere == 4


@pytest.mark.parametrize("name", ["cut", "longer"])
def test_another_length(name: str, capsys: Captured) -> None:
    before = DENSE.read_bytes()
    assert main(pair(before, before[:-100] if name == "cut" else before + b"more")) == 99
    compare(capsys.readouterr().out, f"diff_{name}")


def test_json(capsys: Captured) -> None:
    assert main([*pair(DENSE.read_bytes(), clustered(DENSE)), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["only_weights"] is True
    assert report["identical"] is False
    (tensor,) = report["tensors"]
    assert tensor["distinct_after"] == 8 < tensor["distinct_before"]
    assert 0 < tensor["changed"] <= tensor["values"] == np.prod(tensor["shape"])
    assert report["places"] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_it_agrees_with_the_report_of_the_run(path: Path) -> None:
    result = cluster(path, clusters=4, run=False, measure=False, force=True)
    assert result.model is not None
    found = diff(path, result.model)
    assert found.only_weights
    told = [tensor for tensor in result.tensors if tensor.span is not None]
    assert [(tensor.name, tensor.start, tensor.distinct_after, tensor.sqnr) for tensor in found.tensors] == [
        (tensor.name, tensor.span.start, tensor.values_after, pytest.approx(tensor.sqnr))
        for tensor in told
        if tensor.span is not None
    ]


@pytest.mark.parametrize("number", range(40))
def test_a_byte_anywhere_is_found(number: int) -> None:
    """In a weight or bias it is a value; elsewhere it has a place and a name."""
    before = (FOLDER / "outside_float32.tflite").read_bytes()
    position = int(np.random.default_rng(number).integers(len(before)))
    after = bytearray(before)
    after[position] ^= 0x10
    found = diff(before, bytes(after))
    if found.tensors:
        (tensor,) = found.tensors
        assert tensor.start <= position < tensor.start + tensor.bytes
        assert (tensor.changed, found.only_weights) == (1, True)
    else:
        (place,) = found.places
        assert (place.start, place.stop, place.changed) == (position, position + 1, 1)
        assert place.what


def test_everything_differs() -> None:
    before = DENSE.read_bytes()
    after = bytes(byte ^ 0xFF for byte in before)
    found = diff(before, after)
    report = json.loads(json.dumps(difference_json(found), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["only_weights"] is False
    inside = sum(tensor.bytes for tensor in found.tensors)
    assert found.changed_elsewhere == len(before) - inside
    assert found.places[0].what == "the head of the file"


def test_the_schema_says_what_everything_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for schema in objects(SCHEMA):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        assert all("description" in content for content in schema["properties"].values())


def test_what_cannot_be_read(capsys: Captured) -> None:
    Path("nothing.tflite").touch()
    command = pair(b"no model", DENSE.read_bytes())
    assert main(command) == 3
    assert main(["diff", "b.tflite", "nothing.tflite"]) == 3
    assert main(["diff", "b.tflite", "missing.tflite"]) == 3
    assert "missing.tflite: cannot be read: No such file" in capsys.readouterr().err
    assert main(command[:2]) == 2
    with pytest.raises(ModelError, match="the given bytes"):
        diff(b"", b"")


def stored_as_int8(path: Path, **settings: object) -> bytes:
    model = cluster(path, clusters=16, run=False, measure=False, store="int8", force=True, **settings).model
    assert model is not None
    return model


@pytest.mark.parametrize("name", ["fully_connected_float32", "conv_2d_float16", "labels_behind_float32"])
def test_a_twin_with_codes_is_recognised(name: str) -> None:
    source = FOLDER / f"{name}.tflite"
    twin = stored_as_int8(source)
    found = diff(source, twin)
    assert found.only_weights
    assert not found.identical
    assert found.bytes_second == len(twin)
    assert found.otherwise is None
    weights = {weight.tensor.name for weight in select(open_model(source))[0]}
    assert {each.name for each in found.stored if each.role == "weight"} == weights
    assert all(each.distinct_after <= 16 for each in found.stored if each.role == "weight")
    assert all(each.largest_error == 0 for each in found.stored if each.role == "bias")
    report = json.loads(json.dumps(difference_json(found), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)


def test_a_twin_in_words(capsys: Captured) -> None:
    assert main(pair(DENSE.read_bytes(), stored_as_int8(DENSE))) == 0
    compare(capsys.readouterr().out, "diff_twin")


def test_a_twin_with_a_difference_besides(capsys: Captured) -> None:
    twin = bytearray(stored_as_int8(DENSE))
    at = bytes(twin).index(b"serving_default")
    twin[at : at + 7] = b"SERVING"
    assert main(pair(DENSE.read_bytes(), bytes(twin))) == 99
    assert "NOT ONLY WEIGHTS: " in capsys.readouterr().out


def test_errors_of_a_twin_are_those_of_the_values_it_unpacks() -> None:
    found = diff(DENSE, stored_as_int8(DENSE))
    (weight,) = (each for each in select(open_model(DENSE))[0])
    before = weight.codes(open_model(DENSE))
    (stored,) = found.stored
    assert stored.largest_error is not None
    assert stored.sqnr is not None
    assert 0 < stored.largest_error < np.abs(before).max()
    error = 10 ** (-stored.sqnr / 10) * np.square(before.astype(np.float64)).sum()
    assert error <= before.size * stored.largest_error**2 * 1.0001


TWIN = stored_as_int8(DENSE)


@given(st.data())
def test_a_damaged_twin_is_only_reported(data: st.DataObject) -> None:
    content = bytearray(TWIN)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    found = diff(DENSE, bytes(content))
    assert not found.identical
