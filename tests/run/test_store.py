"""--store int8, from the command line to the new file: smaller, the same operators, and proof of what it holds."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tflite
from support.fixture_models import FOLDER, MODELS

from tflite_cluster import ModelError, cluster, diff
from tflite_cluster.cli import main
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.draft import Draft
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.storing.obstacle import int8_obstacle
from tflite_cluster.search.allocation import price_at_sqnr
from tflite_cluster.search.clusterer import Clusterer
from tflite_cluster.search.job import make_job
from tflite_cluster.targets import find_target
from tflite_cluster.targets.int8 import TARGET, FileOfCodes

DIGITS = Path(__file__).parents[2] / "examples" / "digits.tflite"


def operators(path: Path) -> list[str]:
    return [operator.name for subgraph in open_model(path).subgraphs for operator in subgraph.operators]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.tflite"
    path.write_bytes(DIGITS.read_bytes())
    with np.load(DIGITS.with_suffix(".samples.npz")) as samples:
        np.savez(tmp_path / "in.samples.npz", **{name: values[:100] for name, values in samples.items()})
    return path


def test_integer_weights_are_not_said_to_become_codes() -> None:
    assert cluster(FOLDER / "conv_2d_int8.tflite", clusters=8, run=False).if_stored is None
    assert cluster(FOLDER / "conv_2d_float32.tflite", clusters=8, run=False).if_stored is not None


@pytest.mark.parametrize(
    "name", ["conv_2d_float32", "conv_2d_float16", "labels_behind_float32", "tied_embedding_float32"]
)
def test_the_estimate_counts_tables_and_names_of_new_tensors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length is exact. The zip is near, for the real run takes 16 values from a grid; adding up misses the rest."""
    source = FOLDER / f"{name}.tflite"
    estimate = cluster(source, clusters=16, run=False, force=True).if_stored
    sizes = cluster(source, clusters=16, run=False, force=True, store="int8").sizes
    assert estimate is not None
    assert sizes is not None
    assert estimate.file == sizes.file.after
    assert estimate.zip9 == pytest.approx(sizes.zip9.after, rel=0.03)
    assert estimate.ratio == sizes.zip9.before / estimate.zip9
    monkeypatch.setattr("tflite_cluster.run.if_stored._HEAVIEST", 0)
    added_up = cluster(source, clusters=16, run=False, force=True).if_stored
    assert added_up is not None
    assert added_up.file < estimate.file
    assert added_up.zip9 < 0.97 * sizes.zip9.after


def test_there_is_no_estimate_where_the_parts_of_a_model_cannot_be_moved() -> None:
    data = bytearray((FOLDER / "svdf_float32.tflite").read_bytes())
    assert cluster(bytes(data), clusters=16, run=False, force=True).if_stored is not None
    options = tflite.Model.GetRootAs(data, 0).Subgraphs(0).Operators(0).BuiltinOptions()
    struct.pack_into("<i", data, options.Pos, -(1 << 30))
    assert cluster(bytes(data), clusters=16, run=False, force=True).if_stored is None


@pytest.mark.parametrize("store", ["int8", "int4"])
def test_a_model_without_float_weights_says_that_nothing_is_stored_otherwise(
    store: Literal["int8", "int4"], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = f"no weight is stored as {store}, because none is a float: leave out --store"
    out, report = tmp_path / "out.tflite", tmp_path / "out.json"
    command = [str(FOLDER / "conv_2d_int8.tflite"), str(out), "--clusters", "8", "--no-check", "--report", str(report)]
    assert main([*command, "--store", store]) == 0
    assert f"Left out: {words}\n" in capsys.readouterr().out
    assert json.loads(report.read_text())["strategy"]["left_out"][0] == words
    alike = cluster(FOLDER / "conv_2d_int8.tflite", clusters=8, check=False)
    assert alike.model == out.read_bytes()
    assert words not in alike.strategy.left_out
    blind = cluster(FOLDER / "conv_2d_int8.tflite", clusters=8, run=False, store=store)
    assert blind.strategy.left_out == (words,)
    floats = cluster(FOLDER / "conv_2d_float32.tflite", clusters=8, run=False, store=store)
    assert floats.strategy.left_out == ()


@pytest.mark.slow
def test_the_default_run_with_codes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored, same, report = (source.with_name(name) for name in ("stored.tflite", "same.tflite", "report.json"))
    assert main([str(source), str(stored), "--store", "int8", "--benchmark", "--verbose", "--report", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "float32 → int8, 1 scale" in printed
    assert "Speed:" in printed
    assert main([str(source), str(same)]) == 0
    assert "With --store int8 the file would take about" in capsys.readouterr().out
    assert stored.stat().st_size < 0.5 * same.stat().st_size

    found = json.loads(report.read_text())
    kept = [tensor for tensor in found["tensors"] if tensor["keeps_type"]]
    codes = [tensor for tensor in found["tensors"] if tensor["stored"]]
    assert len(codes) + len(kept) == sum(tensor["clustered"] for tensor in found["tensors"])
    assert found["if_stored_as_int8"] is None
    assert found["benchmark"]["seconds_after"] > 0
    assert found["sizes"]["file"]["after"] == stored.stat().st_size
    assert found["fidelity"]["passed"]
    before, after = operators(source), operators(stored)
    assert after == ["DEQUANTIZE"] * len(codes) + before


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--clusters", "16"], ["--clusters", "16", "--no-run"], ["--no-run"]])
def test_without_a_search_too(how: list[str], source: Path) -> None:
    stored = source.with_name("stored.tflite")
    assert main([str(source), str(stored), "--store", "int8", "--quiet", *how]) == 0
    model = open_model(stored)
    codes = [weight for weight in select(model)[0] if weight.storage.type == "INT8"]
    assert codes
    if "--clusters" in how:
        for weight in codes:
            values = weight.codes(model)
            assert len(np.unique(values)) <= 16


@pytest.mark.parametrize("path", [path for path in MODELS if "float" in path.stem], ids=lambda path: path.stem)
def test_every_float_model_gives_codes_or_reasons(path: Path, tmp_path: Path) -> None:
    result = cluster(path, tmp_path / "out.tflite", store="int8", clusters=4, run=False, force=True, measure=False)
    model = open_model(path)
    weights = {weight.tensor.name: weight for weight in select(model)[0]}
    for tensor in result.tensors:
        if tensor.clustered and tensor.type in ("FLOAT32", "FLOAT16", "BFLOAT16"):
            assert (tensor.stored is None) == (int8_obstacle(model, weights[tensor.name]) is not None)
            assert (tensor.keeps_type is None) == (tensor.stored is not None)
    assert result.fidelity.status != "broken"


@pytest.mark.parametrize("name", ["conv_2d_float32", "conv_2d_float16", "shared_buffer_float32", "outside_float32"])
@pytest.mark.parametrize(("clusters", "kind"), [(16, "INT4"), (17, "INT8")])
def test_few_values_fit_int4_codes(name: str, clusters: int, kind: str, tmp_path: Path) -> None:
    stored, path = tmp_path / "out.tflite", FOLDER / f"{name}.tflite"
    result = cluster(path, stored, store="int4", clusters=clusters, run=False, force=True)
    weights = [tensor for tensor in result.tensors if tensor.role == "weight"]
    assert weights
    assert all(tensor.stored is not None and tensor.stored.type == kind for tensor in weights)
    found = diff(path, stored)
    assert found.only_weights
    assert {each.codes for each in found.stored if each.role == "weight"} == {kind}


@pytest.mark.slow
def test_the_price_decides_between_int4_and_int8(source: Path) -> None:
    model = open_model(source)
    weights = select(model)[0]
    encode = find_target("int4").encode(analyse(model), weights)
    job = make_job(model, max(weights, key=lambda weight: weight.count), encode)
    kinds = [job.assign(price_at_sqnr(job, sqnr)).type for sqnr in (12, 16, 20, 24, 28)]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"INT4", "INT8"}


@pytest.mark.slow
def test_integer_weights_are_not_touched_by_the_option() -> None:
    one, other = (cluster(FOLDER / "conv_2d_int8.tflite", clusters=8, store=store) for store in ("same", "int8"))
    assert one.model == other.model
    assert all(tensor.stored is None and tensor.keeps_type is None for tensor in other.tensors)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_same_input_same_bytes(workers: int, source: Path) -> None:
    results = [cluster(source, store="int8", workers=each, measure=False) for each in (2, workers)]
    assert results[0].model == results[1].model


@pytest.mark.slow
def test_a_size_is_that_of_the_new_file(source: Path) -> None:
    """Far below what float32 words can be zipped to at any use."""
    stored = source.with_name("stored.tflite")
    assert main([str(source), str(stored), "--store", "int8", "--max-size", "9x", "--quiet"]) == 0


def put(path: Path, position: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def flip_a_code(new: Draft, _: PatchedCopy) -> None:
    weight = next(weight for weight in select(new.reopen())[0] if weight.storage.type == "INT8")
    put(new.path, weight.span.start + 7, bytes([new.path.read_bytes()[weight.span.start + 7] ^ 1]))


def change_a_scale(new: Draft, copy: PatchedCopy) -> None:
    content = new.path.read_bytes()
    scale = next(iter(copy.stored.values())).scale[:1].tobytes()
    put(new.path, content.index(scale), struct.pack("<f", 0.5))


def rename_an_output(new: Draft, copy: PatchedCopy) -> None:
    name = next(iter(copy.model.subgraphs)).tensors[0].name.encode()
    put(new.path, new.path.read_bytes().index(name), b"Q")


def change_another_constant(new: Draft, copy: PatchedCopy) -> None:
    model = copy.model
    used = {weight.span for weight in select(model)[0]}
    span = next(span for span in model.buffers if span.size and span not in used)
    content = bytes(model.bytes_of(span))
    put(new.path, new.path.read_bytes().index(content), bytes([content[0] ^ 0x40]))


DAMAGES = [flip_a_code, change_a_scale, rename_an_output, change_another_constant]


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_damage_to_the_new_file_is_seen(damage, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def prove(target: FileOfCodes, copy: PatchedCopy, new: Draft) -> None:
        new.flush()
        damage(new, copy)
        real(target, copy, new)

    real = FileOfCodes.prove
    monkeypatch.setattr(FileOfCodes, "prove", prove)
    destination = source.with_name("out.tflite")
    with pytest.raises(ModelError, match=r"in\.tflite: .*; nothing was written"):
        cluster(source, destination, clusters=8, run=False, measure=False, store="int8")
    assert not destination.exists()


@pytest.mark.slow
def test_what_cannot_be_moved_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after minutes of work."""
    source = tmp_path / "zip64.tflite"
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 46, 0xFFFFFFFF, 0)
    source.write_bytes(DIGITS.read_bytes() + bytes(46) + end)
    monkeypatch.setattr("tflite_cluster.run.strategy.calibrate", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ModelError, match=r"zip64\.tflite: the zip appended to it"):
        cluster(source, tmp_path / "out.tflite", store="int8")
    assert not (tmp_path / "out.tflite").exists()


def test_speed_needs_runs(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(source), str(source.with_name("out.tflite")), "--benchmark", "--no-run"]) == 2
    assert "leave out --benchmark: it needs the model to be run" in capsys.readouterr().err
    assert main([str(source), str(source.with_name("out.tflite")), "--store", "int5"]) == 2


def test_codes_and_channels_contradict_each_other(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--store", "int8", "--granularity", "axis", "--clusters", "8"]
    assert main([str(source), str(source.with_name("out.tflite")), *options]) == 2
    assert "leave --granularity at 'tensor'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("sqnr", "as_codes"), [(20, True), (75, False)])
def test_values_too_far_apart_for_codes_keep_their_type(sqnr: float, as_codes: bool, source: Path) -> None:
    """Where 255 steps from the largest to the smallest are too coarse for what a bit may cost."""
    model = open_model(source)
    weight = max(select(model)[0], key=lambda weight: weight.span.size)
    job = make_job(model, weight, TARGET.encode(analyse(model), [weight]))
    with PatchedCopy(model, source.with_name("out.tflite")) as copy:
        Clusterer(model, copy, threads=1).apply_all([job], [price_at_sqnr(job, sqnr)])
        assert (weight.span in copy.stored) is as_codes


def test_a_float_weight_that_could_be_stored_says_why_not(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tflite_cluster.search.calibrated._BLIND_SQNR", 75.0)
    result = cluster(source, store="int8", run=False, force=True)
    reasons = {tensor.keeps_type for tensor in result.tensors if tensor.clustered and tensor.stored is None}
    assert reasons == {"its values are too far apart for 255 codes"}
