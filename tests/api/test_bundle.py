"""The models inside a bundle are clustered as if alone."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.archives import File, archive, bundle_of
from support.fixture_models import FOLDER

from tflite_cluster import (
    ConfigError,
    DataError,
    FidelityError,
    ModelError,
    NotSmallerError,
    OutputError,
    cluster,
    cluster_bundle,
)
from tflite_cluster.api.bundle import is_bundle
from tflite_cluster.cli import main
from tflite_cluster.config import Rule
from tflite_cluster.packing.bundles import read_bundle

MODEL = FOLDER / "conv_2d_float32.tflite"
INTEGERS = FOLDER / "conv_2d_int8.tflite"
FOUR_VALUES = FOLDER / "four_values_float32.tflite"


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


def test_a_pattern_has_to_fit_a_weight_of_one_model(tmp_path: Path) -> None:
    several = FOLDER / "two_ways_int8.tflite"
    nested = bundle_of(tmp_path / "in.task", ("deep.tflite", several.read_bytes(), False)).read_bytes()
    source = bundle_of(tmp_path / "x.task", ("a.tflite", INTEGERS.read_bytes(), False), ("in.task", nested, False))
    rules = (Rule("FULLY_CONNECTED", by_operator=True, clusters=None),)
    cluster_bundle(source, tmp_path / "out.task", clusters=8, run=False, force=True, keep=["depth*"], rules=rules)
    with zipfile.ZipFile(tmp_path / "out.task") as out:
        assert out.read("a.tflite") == cluster(INTEGERS, clusters=8, run=False, force=True).model
        inner = zipfile.ZipFile(io.BytesIO(out.read("in.task")))
    alone = cluster(several, clusters=8, run=False, force=True, keep=["depth*"], rules=rules)
    assert inner.read("deep.tflite") == alone.model
    assert sum(tensor.clustered for tensor in alone.tensors) == 4


def test_a_pattern_that_fits_no_model_is_refused_before_any_work(tmp_path: Path) -> None:
    source = bundle_of(tmp_path / "x.task", ("a.tflite", MODEL.read_bytes(), False))
    stages: list[str] = []
    with pytest.raises(ConfigError, match=r"keep: 'nobody/\*' fits no weight of any model of x\.task"):
        cluster_bundle(
            source, tmp_path / "out.task", keep=["Conv2D", "nobody/*"], progress=lambda stage, *_: stages.append(stage)
        )
    with pytest.raises(ConfigError, match=r"operator 'NOBODY' fits no weight of any model of x\.task"):
        cluster_bundle(source, tmp_path / "out.task", rules=(Rule("NOBODY", by_operator=True, clusters=None),))
    assert not stages


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
    with pytest.raises(FidelityError, match=r"^two\.task: a\.tflite: min-sqnr"):
        cluster_bundle(two, tmp_path / "out.task", clusters=2, min_sqnr=90)
    (tmp_path / "out.task").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists: use --force"):
        cluster_bundle(two, tmp_path / "out.task", clusters=16)
    assert (tmp_path / "out.task").read_bytes() == b"mine"
    broken = bundle_of(tmp_path / "broken.task", ("a.tflite", MODEL.read_bytes()[:99], False))
    for settings in ({}, {"keep": ["Conv2D"]}):
        with pytest.raises(ModelError, match=r"^broken\.task: a\.tflite: damaged.* put a sound copy into the bundle"):
            cluster_bundle(broken, tmp_path / "none.task", **settings)
    other = bundle_of(tmp_path / "other.zip", ("readme.txt", b"words", False))
    for settings in ({}, {"keep": ["Conv2D"]}):
        with pytest.raises(ModelError, match=r"other\.zip: not a \.tflite model: it is a zip archive without"):
            cluster_bundle(other, tmp_path / "none.task", **settings)


def test_a_model_that_samples_do_not_fit_is_named(tmp_path: Path) -> None:
    source = bundle_of(tmp_path / "x.task", ("a/first.tflite", MODEL.read_bytes(), False))
    with pytest.raises(DataError, match=r"x\.task: a/first\.tflite: the array given: .*do not fit"):
        cluster_bundle(source, tmp_path / "out.task", data=np.zeros((3, 7), np.float32))


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
