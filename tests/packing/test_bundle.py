"""Archives are written again with new models in them, and everything else byte for byte."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster import FidelityError, ModelError, NotSmallerError, OutputError, cluster, cluster_bundle
from tflite_cluster.api.bundle import is_bundle
from tflite_cluster.cli import main
from tflite_cluster.packing.bundle import Entry, alignment, read_bundle, write_bundle

MODEL = FOLDER / "conv_2d_float32.tflite"
INTEGERS = FOLDER / "conv_2d_int8.tflite"
FOUR_VALUES = FOLDER / "four_values_float32.tflite"
PADDING = 0xD935


@dataclass(frozen=True)
class File:
    """A file to be put into an archive. step: what its data is aligned to."""

    content: bytes
    deflate: bool = False
    comment: bytes = b""
    extra: bytes = b""
    step: int = 1


class Stream(io.BytesIO):
    """A file that cannot be sought, so that zipfile writes lengths behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def archive(files: list[File], comment: bytes = b"", streamed: bool = False, names: list[str] | None = None) -> bytes:
    content: io.BytesIO = Stream() if streamed else io.BytesIO()
    at = 0
    with zipfile.ZipFile(content, "w") as writer:
        writer.comment = comment
        for number, file in enumerate(files):
            entry = zipfile.ZipInfo(names[number] if names else f"file {number} é", (2001, 2, 3 + number, 4, 5, 6))
            entry.compress_type = zipfile.ZIP_DEFLATED if file.deflate else zipfile.ZIP_STORED
            entry.comment, entry.external_attr = file.comment, number << 16
            start = at + 30 + len(entry.filename.encode()) + len(file.extra) + 6
            entry.extra = file.extra + struct.pack("<3H", PADDING, 2 + -start % file.step, file.step)
            entry.extra += bytes(-start % file.step)
            writer.writestr(entry, file.content)
            at = len(content.getvalue())
    return content.getvalue()


def with_gap(packed: bytes, gap: bytes) -> bytes:
    """With bytes between the last file and the directory, where Android keeps an APK's signatures."""
    end = packed.rindex(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", packed, end + 16)
    moved = bytearray(packed[:directory] + gap + packed[directory:])
    struct.pack_into("<I", moved, end + len(gap) + 16, directory + len(gap))
    return bytes(moved)


def rewritten(packed: bytes, contents: dict[int, bytes]) -> bytes:
    """By numbers of entries."""
    bundle = read_bundle(memoryview(packed), "x.task")
    new = io.BytesIO()
    write_bundle(bundle, {bundle.entries[number]: content for number, content in contents.items()}, new)
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
archives = st.tuples(
    st.lists(files, min_size=1, max_size=6), st.binary(max_size=9), st.booleans(), st.binary(max_size=40)
)


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
                bundle.read(entry)
            write_bundle(bundle, {}, io.BytesIO())


def spoilt(change: Callable[[bytearray, int, int], None]) -> bytes:
    """An archive edited by `change`, which gets its bytes and where the directory and end records begin."""
    packed = bytearray(archive([File(MODEL.read_bytes())], names=["a.tflite"]))
    change(packed, packed.rindex(b"PK\x01\x02"), packed.rindex(b"PK\x05\x06"))
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
    "rotten": (_rotten, "damaged: the content of 'a.tflite' is not what the archive says"),
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


def bundle_of(path: Path, *named: tuple[str, bytes, bool]) -> Path:
    path.write_bytes(
        archive([File(content, deflate) for _, content, deflate in named], names=[name for name, *_ in named])
    )
    return path


def test_models_are_clustered_as_if_alone(tmp_path: Path) -> None:
    nested = bundle_of(tmp_path / "in.task", ("deep.tflite", INTEGERS.read_bytes(), False)).read_bytes()
    source = bundle_of(
        tmp_path / "x.task",
        ("a/first.tflite", MODEL.read_bytes(), False),
        ("labels.txt", b"cat\ndog\n", True),
        ("second.tflite", MODEL.read_bytes(), True),
        ("PREFILL", INTEGERS.read_bytes(), False),
        ("inner.task", nested, False),
    )
    result = cluster_bundle(source, tmp_path / "out.task", clusters=8, force=True)
    alone = {path: cluster(path, clusters=8, force=True).model for path in (MODEL, INTEGERS)}
    names = [model.name for model in result.models]
    assert names == [
        "a/first.tflite",
        "second.tflite",
        "PREFILL",
        "inner.task/deep.tflite",
    ]
    with zipfile.ZipFile(tmp_path / "out.task") as out:
        assert out.read("a/first.tflite") == out.read("second.tflite") == alone[MODEL]
        assert out.read("PREFILL") == alone[INTEGERS]
        assert out.read("labels.txt") == b"cat\ndog\n"
        assert out.getinfo("second.tflite").compress_type == zipfile.ZIP_DEFLATED
        assert zipfile.ZipFile(io.BytesIO(out.read("inner.task"))).read("deep.tflite") == alone[INTEGERS]
    assert result.file_bytes_after == (tmp_path / "out.task").stat().st_size < result.file_bytes_before


def test_shorter_models_keep_the_others_aligned(tmp_path: Path) -> None:
    packed = archive([File(MODEL.read_bytes(), step=64)] * 3, names=["a.tflite", "b.tflite", "c.tflite"])
    (tmp_path / "x.task").write_bytes(packed)
    cluster_bundle(tmp_path / "x.task", tmp_path / "out.task", store="int8", force=True)
    new = read_bundle(memoryview((tmp_path / "out.task").read_bytes()), "out.task")
    assert all(entry.start % 64 == 0 and entry.size < MODEL.stat().st_size for entry in new.entries)


def test_a_model_that_would_not_be_smaller_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = bundle_of(
        tmp_path / "x.task", ("four.tflite", FOUR_VALUES.read_bytes(), False), ("a.tflite", MODEL.read_bytes(), False)
    )
    assert main([str(source), str(tmp_path / "out.task"), "--clusters", "16", "--no-check"]) == 0
    printed = capfd.readouterr().out
    assert "four.tflite is left unchanged: no weight was changed" in printed
    with zipfile.ZipFile(tmp_path / "out.task") as out:
        assert out.read("four.tflite") == FOUR_VALUES.read_bytes()
        assert out.read("a.tflite") != MODEL.read_bytes()


def test_nothing_is_written_where_no_model_changes_or_one_fails(tmp_path: Path) -> None:
    same = bundle_of(tmp_path / "same.task", ("four.tflite", FOUR_VALUES.read_bytes(), False))
    with pytest.raises(NotSmallerError, match="no model of the bundle was changed"):
        cluster_bundle(same, tmp_path / "out.task", clusters=16)
    two = bundle_of(
        tmp_path / "two.task", ("a.tflite", MODEL.read_bytes(), False), ("b.tflite", INTEGERS.read_bytes(), False)
    )
    with pytest.raises(FidelityError, match=r"^a\.tflite: min-sqnr"):
        cluster_bundle(two, tmp_path / "out.task", clusters=2, min_sqnr=90)
    (tmp_path / "out.task").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists: use --force"):
        cluster_bundle(two, tmp_path / "out.task", clusters=16)
    assert (tmp_path / "out.task").read_bytes() == b"mine"
    broken = bundle_of(tmp_path / "broken.task", ("a.tflite", MODEL.read_bytes()[:99], False))
    with pytest.raises(ModelError, match=r"^a\.tflite: damaged"):
        cluster_bundle(broken, tmp_path / "none.task")
    other = bundle_of(tmp_path / "other.zip", ("readme.txt", b"words", False))
    with pytest.raises(ModelError, match=r"other\.zip: not a \.tflite model: it is a zip archive without"):
        cluster_bundle(other, tmp_path / "none.task")


def test_bundles_are_not_opened_without_end(tmp_path: Path) -> None:
    content = bundle_of(tmp_path / "x.task", ("a.tflite", MODEL.read_bytes(), False)).read_bytes()
    for _ in range(5):
        content = bundle_of(tmp_path / "x.task", ("x.task", content, True)).read_bytes()
    with pytest.raises(ModelError, match=r"^x\.task/x\.task/.*: more than 4 bundles within each other"):
        cluster_bundle(tmp_path / "x.task", tmp_path / "out.task", clusters=8)


@pytest.mark.parametrize("name", ["x\0.tflite", "n" * 3000 + ".tflite", "../../x.tflite", "a/", ""])
def test_models_may_have_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    stored = ("model.tflite" + "z" * len(name))[: len(name)]  # zipfile itself would cut or change some names
    path, new = bundle_of(tmp_path / "a.task", (stored, MODEL.read_bytes(), True)), tmp_path / "new.task"
    path.write_bytes(path.read_bytes().replace(stored.encode(), name.encode()) if name else path.read_bytes())
    assert cluster_bundle(path, new, run=False).models[0].name == name
    assert sorted(tmp_path.iterdir()) == [path, new]


@pytest.mark.parametrize("most", [0, 1, 1 << 20])
def test_a_file_that_says_it_is_small_is_not_unpacked_further(most: int, tmp_path: Path) -> None:
    content = bytes(64 << 20)
    path = bundle_of(tmp_path / "a.task", ("x.tflite", content, True))
    packed = bytearray(path.read_bytes())
    record = packed.rindex(b"PK\x01\x02")
    packed[record + 24 : record + 28] = struct.pack("<I", most)
    bundle, unpacked = read_bundle(memoryview(packed), "a.task"), io.BytesIO()
    with pytest.raises(ModelError, match="not what the archive says"):
        bundle.unpack(bundle.entries[0], unpacked)
    assert len(unpacked.getvalue()) <= most


def test_large_files_are_unpacked_in_little_memory(tmp_path: Path) -> None:
    path = bundle_of(tmp_path / "a.task", ("x.tflite", bytes(96 << 20), True))
    tracemalloc.start()
    with pytest.raises(ModelError, match="TFL3"):
        cluster_bundle(path, tmp_path / "new.task", run=False, measure=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 112 << 20  # once as a model in memory, as any of that size is, and no second time


def test_options_for_one_model_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = bundle_of(tmp_path / "x.task", ("a.tflite", MODEL.read_bytes(), False))
    assert main([str(source), str(tmp_path / "out.task"), "--report", str(tmp_path / "out.json")]) == 2
    assert "leave out --report: x.task is a bundle" in capfd.readouterr().err


def test_only_archives_are_bundles(tmp_path: Path) -> None:
    assert is_bundle(bundle_of(tmp_path / "x.task", ("a", b"", False)))
    assert not any(map(is_bundle, (MODEL, MODEL.read_bytes(), tmp_path, tmp_path / "none")))


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
