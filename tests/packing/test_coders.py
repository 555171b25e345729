"""Each coder restores the file, and its size counts the bytes that it writes."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster import ConfigError, cluster, inspect
from tflite_cluster.cli import main
from tflite_cluster.config import Config
from tflite_cluster.packing import coders
from tflite_cluster.packing.coders import CODERS, Coder, available_coders, coders_worth
from tflite_cluster.packing.deflate import write_gzip, write_zip
from tflite_cluster.packing.sizes import SizeMeasurements, compressed_size

MODEL = FOLDER / "conv_2d_float32.tflite"


def _unzipped(packed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        return archive.read("model.tflite")


def _unbrotli(packed: bytes) -> bytes:
    return bytes(pytest.importorskip("brotli").decompress(packed))


def _unzstd(packed: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").decompress(packed))


BACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip6": gzip.decompress,
    "zip9": _unzipped,
    "deflate12": _unzipped,
    "xz": lzma.decompress,
    "brotli11": _unbrotli,
    "zstd19": _unzstd,
}


def packed_by(coder: Coder, path: Path) -> bytes:
    sink = io.BytesIO()
    coder.compress(path, sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("content", [b"", b"x", MODEL.read_bytes(), bytes(3_000_000)], ids=len)
def test_gives_the_file_back(name: str, content: bytes, tmp_path: Path) -> None:
    if not CODERS[name].is_available:
        pytest.skip(f"needs {CODERS[name].package}")
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    packed = packed_by(CODERS[name], path)
    assert BACK[name](packed) == content
    assert compressed_size(path, name) == len(packed)


@given(content=st.binary(max_size=300), name=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_any_reader_unpacks_what_libdeflate_packs(content: bytes, name: str) -> None:
    name = name.replace("/", "_").replace("\\", "_")
    path = Path("/dev/shm" if sys.platform == "linux" else ".") / "tflite-cluster-test-deflate"
    path.write_bytes(content)
    try:
        zipped, gzipped = io.BytesIO(), io.BytesIO()
        write_zip(path, name, zipped)
        write_gzip(path, gzipped)
    finally:
        path.unlink()
    with zipfile.ZipFile(zipped) as archive:
        (entry,) = archive.infolist()
        assert entry.filename == name
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert archive.read(entry) == content
    assert gzip.decompress(gzipped.getvalue()) == content


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "zipfile", "-t"], ["unzip", "-tq"], ["bsdtar", "-tf"], ["7z", "t"]],
    ids=lambda command: command[0].rpartition("/")[2],
)
def test_tools_accept_the_zip(command: list[str], tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    path = tmp_path / "model.zip"
    with path.open("wb") as file:
        write_zip(MODEL, "модель.tflite", file)
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_libdeflate_beats_zlib_at_its_best() -> None:
    assert compressed_size(MODEL, "deflate12") < compressed_size(MODEL, "zip9")


def test_sizes_come_in_the_order_asked_for() -> None:
    with SizeMeasurements() as measurements:
        sizes = measurements.start(MODEL, ["gzip6", "zip9", "xz"])
        assert list(sizes) == ["gzip6", "zip9", "xz"]
        assert sizes["xz"].result() == len(packed_by(CODERS["xz"], MODEL))


def test_a_run_measures_the_coders_that_are_named() -> None:
    sizes = cluster(MODEL, clusters=8, force=True, check=False, coders=["deflate12", "xz"]).sizes
    assert sizes is not None
    assert list(sizes.packed) == ["gzip6", "zip9", "deflate12", "xz"]
    assert sizes.packed["deflate12"].after < sizes.zip9.after


def test_slow_coders_measure_large_files_only_when_named() -> None:
    assert coders_worth(4 << 20) == available_coders()
    assert coders_worth((4 << 20) + 1) == ("gzip6", "zip9", "deflate12")


def test_a_size_is_counted_by_the_coder_that_is_named() -> None:
    model = FOLDER / "conv_2d_int8.tflite"
    sought = {name: cluster(model, max_size="80%", coder=name, force=True) for name in ("zip9", "xz")}
    for name, result in sought.items():
        assert result.sizes is not None
        assert result.model is not None
        (gate,) = [gate for gate in result.fidelity.gates if gate.gate == "max-size"]
        assert gate.limit == int(0.8 * result.sizes.packed[name].before)
        assert gate.measured == result.sizes.packed[name].after <= gate.limit


def test_settings_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="leave out coder: it says whose bytes max_size counts"):
        Config(coder="xz")
    with pytest.raises(ConfigError, match=r"coder must be one of 'gzip6', .*, not 'rar'"):
        Config(coder="rar", max_size="4x")
    with pytest.raises(ConfigError, match="coders must be one of"):
        Config(coders=["rar"])
    with pytest.raises(ConfigError, match="write \\['xz'\\]"):
        Config(coders="xz")
    with pytest.raises(ConfigError, match="leave out coders, since sizes are not measured"):
        Config(coders=["xz"], measure=False)
    monkeypatch.setattr(coders, "find_spec", lambda _name: None)
    assert available_coders() == ("gzip6", "zip9", "deflate12", "xz")
    with pytest.raises(
        ConfigError, match=r"'zstd19' needs the package zstandard: pip install 'tflite-cluster\[codecs\]'"
    ):
        Config(coders=["zstd19"])


def test_sizes_by_every_coder(capfd: pytest.CaptureFixture[str]) -> None:
    model = FOLDER / "conv_2d_int8.tflite"
    assert main(["inspect", str(model), "--sizes"]) == 0
    printed = capfd.readouterr().out
    for name, size in inspect(model, coders=available_coders()).sizes.items():
        assert size == compressed_size(model, name)
        assert f"{CODERS[name].words:<10}" in printed
        assert f"{size:,}" in printed


def test_a_target_takes_the_place_of_a_recipes_size_and_its_coder(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('max-size = "80%"\ncoder = "xz"\n')
    arguments = [str(FOLDER / "conv_2d_int8.tflite"), str(tmp_path / "out.tflite"), "--recipe", str(recipe), "-q"]
    assert main([*arguments, "--report", str(tmp_path / "out.json"), "--force"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["config"]["coder"] == "xz"
    assert main([*arguments, "--clusters", "16", "--force"]) == 0


def test_sizes_are_asked_for_or_not(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(MODEL), "--sizes", "--no-sizes"]) == 2
    assert "give --sizes or --no-sizes, not both" in capfd.readouterr().err
