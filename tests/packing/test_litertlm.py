"""LiteRT-LM files are written again with new models in them, and everything else byte for byte."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archives import bundle_of
from support.fixture_models import FOLDER
from support.litertlm import BLOCK, METADATA, MODEL, TOKENIZER, Part, litertlm

from tflite_cluster import ModelError, cluster, cluster_bundle
from tflite_cluster.api.bundle import is_bundle
from tflite_cluster.cli import main
from tflite_cluster.packing.bundles import read_bundle
from tflite_cluster.packing.bundles.bundle import Bundle
from tflite_cluster.packing.bundles.litertlm import Section

FLOATS = (FOLDER / "conv_2d_float32.tflite").read_bytes()
INTEGERS = (FOLDER / "conv_2d_int8.tflite").read_bytes()
HEAD = b"\x18\0\0\0TFL3"
"""What a model begins with."""

parts = st.builds(
    Part,
    st.binary(max_size=40).map(lambda content: HEAD + content) | st.binary(max_size=40),
    st.sampled_from([0, 1, 2, MODEL, TOKENIZER, METADATA, 6, 7, 200]),
    st.dictionaries(st.sampled_from(["model_type", "backend_constraint"]), st.text(max_size=50), max_size=2),
    st.integers(0, 2),
)
files = st.builds(litertlm, st.lists(parts, max_size=6), st.just(1), st.integers(0, 255))


def read(packed: bytes) -> Bundle[Section]:
    return read_bundle(memoryview(packed), "x.litertlm")


@given(files)
def test_everything_but_the_models_stays_byte_for_byte(packed: bytes) -> None:
    bundle = read(packed)
    new = {
        entry: bytes(255 - byte for byte in packed[entry.start : entry.stop])
        for entry in bundle.entries
        if bundle.is_model(entry)
    }
    written = io.BytesIO()
    bundle.write(new, written)
    expected = bytearray(packed)
    for entry, content in new.items():
        expected[entry.start : entry.stop] = content
    assert written.getvalue() == expected


@given(files, st.data())
def test_no_damage_goes_further_than_an_error(packed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(packed)
    (end,) = struct.unpack_from("<Q", packed, 24)
    for place in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    for each in (bytes(damaged), cut):
        with contextlib.suppress(ModelError):
            bundle = read(each)
            for entry in bundle.entries:
                bundle.unpack(entry, io.BytesIO())
            written = io.BytesIO()
            bundle.write({}, written)
            assert written.getvalue() == each


def edited(packed: bytes, old: int, new: int) -> bytes:
    """With one 64-bit number in the header in place of another."""
    (end,) = struct.unpack_from("<Q", packed, 24)
    return packed[:end].replace(struct.pack("<Q", old), struct.pack("<Q", new)) + packed[end:]


TWO = litertlm([Part(FLOATS, notes={"model_type": "tf_lite_aux"}), Part(INTEGERS)])
FIRST, SECOND = ((entry.start, entry.stop) for entry in read(TWO).entries)
SPOILT = {
    "cut": (TWO[:-1], "damaged .litertlm file: 'Section1_TFLiteModel.tflite' is not where it says: fetch"),
    "cut in the header": (TWO[:99], "its header is not where it says"),
    "cut in the version": (TWO[:20], "it ends early"),
    "overlap": (
        edited(TWO, SECOND[0], FIRST[1] - 1),
        "'Section0_TFLiteModel_tf_lite_aux.tflite' and 'Section1_TFLiteModel.tflite' overlap",
    ),
    "in the header": (edited(TWO, FIRST[0], 40), "'Section0_TFLiteModel_tf_lite_aux.tflite' is not where it says"),
    "backwards": (edited(TWO, FIRST[1], FIRST[0] - 1), "is not where it says"),
    "huge": (edited(TWO, SECOND[1], (1 << 64) - 1), "is not where it says"),
    "header elsewhere": (TWO[:32] + b"\xff" * 4 + TWO[36:], "its header leads out of itself"),
    "version": (litertlm([Part(FLOATS)], version=2), "version 2.7.0 of the LiteRT-LM format, and only 1.x is known"),
    "no model": (litertlm([Part(FLOATS, TOKENIZER), Part(b"secret", MODEL)]), "no section holds a .tflite model"),
    "nothing": (litertlm([]), "no section holds a .tflite model"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_cannot_be_read_is_named(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content, words = SPOILT[kind]
    path = tmp_path / "x.litertlm"
    path.write_bytes(content)
    assert main([str(path), str(tmp_path / "out.litertlm")]) == 3
    error = capfd.readouterr().err
    assert "error: x.litertlm: " in error
    assert words in error
    assert [each.name for each in tmp_path.iterdir()] == ["x.litertlm"]


def test_a_header_that_lists_without_end_is_refused_at_once() -> None:
    (end,) = struct.unpack_from("<Q", TWO, 24)
    endless = bytearray(TWO[:end])
    place = TWO.index(struct.pack("<I", 2), 32, end)  # of the list of sections, the only one of two
    struct.pack_into("<I", endless, place, 1 << 31)
    with pytest.raises(ModelError, match="lists more than 65,536 sections and notes"):
        read(bytes(endless) + TWO[end:])


def test_a_model_of_another_length_is_refused() -> None:
    bundle = read(TWO)
    with pytest.raises(ModelError, match=r"^x\.litertlm: 'Section1_TFLiteModel\.tflite' would get another length"):
        bundle.write({bundle.entries[1]: INTEGERS[:-1]}, io.BytesIO())


def test_models_are_clustered_as_if_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = [
        Part(b"words", TOKENIZER, gap=1),
        Part(FLOATS, notes={"backend_constraint": "cpu", "model_type": "tf_lite_prefill_decode"}),
        Part(b"encrypted", MODEL, {"model_type": "tf_lite_vision_encoder"}),
        Part(INTEGERS, notes={"model_type": "../x"}),
        Part(FLOATS, 7),
    ]
    source, new = tmp_path / "x.litertlm", tmp_path / "new.litertlm"
    source.write_bytes(litertlm(made))
    assert is_bundle(source)
    assert main([str(source), str(new), "--clusters", "8", "--force"]) == 0
    printed = capfd.readouterr().out
    assert "Section1_TFLiteModel_tf_lite_prefill_decode.tflite" in printed
    assert "Section3_TFLiteModel.tflite" in printed
    alone = [cluster(content, clusters=8, force=True).model or b"" for content in (FLOATS, INTEGERS)]
    assert len(alone[0]) == len(FLOATS)
    expected = [made[0], Part(alone[0], notes=made[1].notes), made[2], Part(alone[1], notes=made[3].notes), made[4]]
    assert new.read_bytes() == litertlm(expected)
    assert read(new.read_bytes()).entries[0].start % BLOCK == 0


def test_files_inside_an_archive_are_opened(tmp_path: Path) -> None:
    outer = bundle_of(
        tmp_path / "app.zip",
        ("a/x.litertlm", TWO, False),
        ("b/none.litertlm", litertlm([Part(b"words", TOKENIZER)]), False),
    )
    result = cluster_bundle(outer, tmp_path / "new.zip", clusters=8, force=True)
    assert [model.name for model in result.models] == [
        "a/x.litertlm/Section0_TFLiteModel_tf_lite_aux.tflite",
        "a/x.litertlm/Section1_TFLiteModel.tflite",
    ]
    with zipfile.ZipFile(tmp_path / "new.zip") as new:
        assert new.read("b/none.litertlm") == litertlm([Part(b"words", TOKENIZER)])
        alone = cluster(FLOATS, clusters=8, force=True).model or b""
        inner = new.read("a/x.litertlm")
        assert len(inner) == len(TWO)
        assert inner[: SECOND[0]] == TWO[: FIRST[0]] + alone + TWO[FIRST[1] : SECOND[0]]


def test_storing_otherwise_is_refused_before_any_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.litertlm"
    source.write_bytes(TWO)
    assert main([str(source), str(tmp_path / "out.litertlm"), "--store", "int8"]) == 2
    assert "leave out --store: models in x.litertlm keep their length" in capfd.readouterr().err
