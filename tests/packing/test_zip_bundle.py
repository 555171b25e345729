"""Archives are written again with new models in them, and everything else byte for byte."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archives import PADDING, File, archive
from support.fixture_models import FOLDER

from tflite_cluster import ModelError
from tflite_cluster.cli import main
from tflite_cluster.packing.bundles import read_bundle
from tflite_cluster.packing.bundles.zip import END_SIGNATURE, Entry, alignment

MODEL = FOLDER / "conv_2d_float32.tflite"
INTEGERS = FOLDER / "conv_2d_int8.tflite"
FOUR_VALUES = FOLDER / "four_values_float32.tflite"


def with_gap(packed: bytes, gap: bytes) -> bytes:
    """With bytes between the last file and the directory, where Android keeps an APK's signatures."""
    end = packed.rindex(END_SIGNATURE)
    (directory,) = struct.unpack_from("<I", packed, end + 16)
    moved = bytearray(packed[:directory] + gap + packed[directory:])
    struct.pack_into("<I", moved, end + len(gap) + 16, directory + len(gap))
    return bytes(moved)


def rewritten(packed: bytes, contents: dict[int, bytes]) -> bytes:
    """By numbers of entries."""
    bundle = read_bundle(memoryview(packed), "x.task")
    new = io.BytesIO()
    bundle.write({bundle.entries[number]: content for number, content in contents.items()}, new)
    return new.getvalue()


def zeros_added(packed: bytes, number: int, count: int) -> bytes:
    """With zeros at the end of a local header and nothing else, as older versions of zipalign leave it."""
    bundle = read_bundle(memoryview(packed), "x.task")
    entry = bundle.entries[number]
    padded = bytearray(packed)
    struct.pack_into("<H", padded, entry.header + 28, len(local_extra(packed, entry)) + count)
    for other in bundle.entries[number + 1 :]:
        struct.pack_into("<I", padded, other.record + 42, other.header + count)
    struct.pack_into("<I", padded, bundle.end + 16, bundle.directory + count)
    return bytes(padded[: entry.start] + bytes(count) + padded[entry.start :])


def fields(extra: bytes) -> list[tuple[int, bytes]] | None:
    """The fields of an extra part; None if it is not made of fields."""
    found = []
    while extra:
        if len(extra) < 4 or len(extra) < 4 + struct.unpack_from("<H", extra, 2)[0]:
            return None
        number, length = struct.unpack_from("<2H", extra)
        found.append((number, extra[4 : 4 + length]))
        extra = extra[4 + length :]
    return found


def local_extra(packed: bytes, entry: Entry) -> bytes:
    path, extra = struct.unpack_from("<2H", packed, entry.header + 26)
    return packed[entry.header + 30 + path : entry.header + 30 + path + extra]


def facts(entry: zipfile.ZipInfo) -> tuple[object, ...]:
    """All that a directory says of a file but where it is, how long and what checksum it has."""
    return (
        *(entry.filename, entry.date_time, entry.compress_type, entry.comment, entry.extra, entry.create_system),
        *(entry.create_version, entry.extract_version, entry.flag_bits, entry.internal_attr, entry.external_attr),
    )


files = st.builds(
    File,
    st.binary(max_size=90),
    st.booleans(),
    st.binary(max_size=5),
    st.sampled_from([b"", struct.pack("<2H", 0xCAFE, 3) + b"abc"]),
    st.sampled_from([1, 4, 16, 4096]),
)
comments = st.binary(max_size=9).filter(lambda comment: END_SIGNATURE not in comment)
"""`zipfile` takes the last signature for that of the last record, even in a comment."""

archives = st.tuples(st.lists(files, min_size=1, max_size=6), comments, st.booleans(), st.binary(max_size=40))


@given(archives, st.dictionaries(st.integers(0, 5), st.binary(max_size=120)), st.integers(0, 9))
def test_everything_but_the_models_stays_byte_for_byte(
    made: tuple[list[File], bytes, bool, bytes], wanted: dict[int, bytes], zeros: int
) -> None:
    made_files, comment, streamed, gap = made
    packed = with_gap(zeros_added(archive(made_files, comment, streamed), len(made_files) - 1, zeros), gap)
    contents = {number: content for number, content in wanted.items() if number < len(made_files)}
    again = rewritten(packed, contents)
    old, new = (read_bundle(memoryview(data), "x.task") for data in (packed, again))
    assert bytes(again[new.directory - len(gap) : new.directory]) == gap
    with zipfile.ZipFile(io.BytesIO(packed)) as before, zipfile.ZipFile(io.BytesIO(again)) as after:
        assert after.testzip() is None
        assert after.comment == comment
        assert list(map(facts, after.infolist())) == list(map(facts, before.infolist()))
        for number, (one, other) in enumerate(zip(old.entries, new.entries, strict=True)):
            assert after.infolist()[number].header_offset == other.header
            assert after.read(after.infolist()[number]) == contents.get(number, made_files[number].content)
            if number not in contents:
                assert again[other.start : other.stop] == packed[one.start : one.stop]
                assert again[other.header : other.header + 28] == packed[one.header : one.header + 28]
            if not made_files[number].deflate:
                assert other.start % alignment(one.start) == 0
                assert number == len(made_files) - 1 or other.start % made_files[number].step == 0
            kept, added = local_extra(packed, one), local_extra(again, other)
            assert added.startswith(kept)
            padding = added[len(kept) :]
            if padding and fields(kept) is not None:
                ((field, content),) = fields(padding) or [(0, b"")]
                assert (field, content[:2]) == (PADDING, struct.pack("<H", alignment(one.start)))
                assert not any(content[2:])
            assert fields(kept) is not None or not any(padding)


@given(archives)
def test_without_new_models_nothing_changes(made: tuple[list[File], bytes, bool, bytes]) -> None:
    packed = with_gap(archive(*made[:3]), made[3])
    assert rewritten(packed, {}) == packed


@given(archives, st.data())
def test_a_model_of_the_same_length_moves_nothing(
    made: tuple[list[File], bytes, bool, bytes], data: st.DataObject
) -> None:
    packed = with_gap(archive(*made[:3]), made[3])
    number = data.draw(st.integers(0, len(made[0]) - 1))
    content = made[0][number].content
    again = rewritten(packed, {number: bytes(255 - byte for byte in content)})
    if not made[0][number].deflate:
        old, new = (read_bundle(memoryview(each), "x.task") for each in (packed, again))
        assert [entry.start for entry in old.entries] == [entry.start for entry in new.entries]
        assert len(again) == len(packed)


@given(archives, st.data())
def test_no_damage_goes_further_than_an_error(made: tuple[list[File], bytes, bool, bytes], data: st.DataObject) -> None:
    packed = bytearray(with_gap(archive(*made[:3]), made[3]))
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=4)):
        packed[place] = data.draw(st.integers(0, 255))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    for damaged in (bytes(packed), cut):
        with contextlib.suppress(ModelError):
            bundle = read_bundle(memoryview(damaged), "x.task")
            for entry in bundle.entries:
                bundle.unpack(entry, io.BytesIO())
            bundle.write({}, io.BytesIO())


def spoilt(change: Callable[[bytearray, int, int], None]) -> bytes:
    """An archive edited by `change`, which gets its bytes and where the directory and end records begin."""
    packed = bytearray(archive([File(MODEL.read_bytes())], names=["a.tflite"]))
    change(packed, packed.rindex(b"PK\x01\x02"), packed.rindex(END_SIGNATURE))
    return bytes(packed)


def _encrypted(packed: bytearray, record: int, _end: int) -> None:
    packed[record + 8] |= 1


def _zip64_entry(packed: bytearray, record: int, _end: int) -> None:
    packed[record + 20 : record + 24] = b"\xff" * 4


def _zip64_end(packed: bytearray, _record: int, end: int) -> None:
    packed[end + 8 : end + 12] = b"\xff" * 4


def _split(packed: bytearray, _record: int, end: int) -> None:
    packed[end + 4] = 1


def _cut(packed: bytearray, _record: int, _end: int) -> None:
    del packed[-5:]


def _followed(packed: bytearray, _record: int, _end: int) -> None:
    packed += b"x"


def _elsewhere(packed: bytearray, record: int, _end: int) -> None:
    packed[record + 42] = 9


def _rotten(packed: bytearray, _record: int, _end: int) -> None:
    packed[1000] ^= 1


def _bzip2(packed: bytearray, record: int, _end: int) -> None:
    packed[record + 10] = 12


SPOILT = {
    "encrypted": (_encrypted, "'a.tflite' is encrypted: decrypt"),
    "zip64 entry": (_zip64_entry, "a zip64 archive"),
    "zip64 end": (_zip64_end, "a zip64 archive"),
    "split": (_split, "split over several files: join"),
    "cut": (_cut, "damaged zip archive: it ends early"),
    "followed": (_followed, "or more bytes follow"),
    "elsewhere": (_elsewhere, "'a.tflite' is not where it says"),
    "rotten": (_rotten, "damaged: the content of 'a.tflite' is not what the archive says: fetch it again"),
    "bzip2": (_bzip2, "compressed by method 12"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_cannot_be_read_is_named(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, words = SPOILT[kind]
    path = tmp_path / "x.task"
    path.write_bytes(spoilt(change))
    assert main([str(path), str(tmp_path / "out.task")]) == 3
    error = capfd.readouterr().err
    assert "error: x.task: " in error
    assert words in error
    assert [each.name for each in tmp_path.iterdir()] == ["x.task"]


def test_unzip_accepts_what_is_written(tmp_path: Path) -> None:
    packed = archive([File(b"a" * 50, step=16), File(b"b" * 50, True), File(b"c" * 50, step=4096)], b"words", True)
    path = tmp_path / "out.zip"
    path.write_bytes(rewritten(packed, {0: b"short", 1: b"d" * 99}))
    try:
        done = subprocess.run(["unzip", "-tq", str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unzip")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["zipalign", "zipalign, zeros"])
@pytest.mark.parametrize("step", [4, 16, 4096])
def test_zipalign_finds_shorter_models_aligned(tool: str, step: int, tmp_path: Path) -> None:
    if shutil.which("zipalign") is None or shutil.which("unzip") is None:
        pytest.skip("needs zipalign and unzip")
    raw = archive([File(MODEL.read_bytes()), File(b"cat"), File(MODEL.read_bytes()), File(b"a" * 999, deflate=True)])
    if "zeros" in tool:
        raw = zeros_added(raw, 2, 3)
    (tmp_path / "raw.zip").write_bytes(raw)
    subprocess.run(["zipalign", str(step), "raw.zip", "x.task"], cwd=tmp_path, check=True)
    again = rewritten((tmp_path / "x.task").read_bytes(), {0: b"shorter", 2: MODEL.read_bytes()[:-7]})
    (tmp_path / "out.task").write_bytes(again)
    for command in (["zipalign", "-c", str(step), "out.task"], ["unzip", "-tq", "out.task"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
