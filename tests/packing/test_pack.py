"""Archives for delivery: any tool reads them, the same bytes at any time, and never half an archive."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.fixture_models import FOLDER

from tflite_cluster import ConfigError, ModelError, OutputError, pack
from tflite_cluster.cli import main
from tflite_cluster.packing import archive
from tflite_cluster.packing.sizes import compressed_size

MODEL = FOLDER / "conv_2d_float32.tflite"
OTHER = FOLDER / "conv_2d_int8.tflite"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(MODEL, tmp_path / "model.tflite"))


def test_zip_holds_the_model_under_its_name(model: Path) -> None:
    packed = pack(model, model.with_name("out.zip"))
    assert packed.file_bytes == model.stat().st_size
    assert packed.packed_bytes == packed.destination.stat().st_size == compressed_size(model, "deflate12")
    with zipfile.ZipFile(packed.destination) as opened:
        (entry,) = opened.infolist()
        assert (entry.filename, entry.compress_type) == ("model.tflite", zipfile.ZIP_DEFLATED)
        assert opened.read(entry) == model.read_bytes()


def test_gzip_gives_the_model_back(model: Path) -> None:
    pack(model, model.with_name("model.tflite.gz"))
    assert gzip.decompress(model.with_name("model.tflite.gz").read_bytes()) == MODEL.read_bytes()
    if shutil.which("gunzip"):
        model.unlink()
        subprocess.run(["gunzip", "model.tflite.gz"], cwd=model.parent, check=True)
        assert model.read_bytes() == MODEL.read_bytes()


def test_unzip_restores_the_model(model: Path, tmp_path: Path) -> None:
    pack(model, tmp_path / "out.zip")
    out = tmp_path / "unpacked"
    tool = (
        ["unzip", "-q", "out.zip", "-d"]
        if shutil.which("unzip")
        else [sys.executable, "-m", "zipfile", "-e", "out.zip"]
    )
    subprocess.run([*tool, str(out)], cwd=tmp_path, check=True)
    assert (out / "model.tflite").read_bytes() == MODEL.read_bytes()


@pytest.mark.parametrize("suffix", [".zip", ".gz"])
def test_bytes_depend_on_nothing_but_the_model(model: Path, suffix: str) -> None:
    first, second = (model.with_name(f"{name}{suffix}") for name in ("first", "second"))
    pack(model, first)
    model.chmod(0o600)
    os.utime(model, (1, 1))
    pack(model, second)
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_overwritten_unasked(model: Path) -> None:
    out = model.with_name("out.zip")
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists: use --force"):
        pack(model, out)
    assert out.read_bytes() == b"mine"
    assert pack(model, out, force=True).packed_bytes == out.stat().st_size


def test_what_cannot_be_packed(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out\.rar: an archive is called \.zip or \.gz"):
        pack(model, tmp_path / "out.rar")
    (tmp_path / "page.tflite").write_text("<html>")
    with pytest.raises(ModelError, match="web page"):
        pack(tmp_path / "page.tflite", tmp_path / "out.zip")
    with pytest.raises(ModelError, match=r"none\.tflite"):
        pack(tmp_path / "none.tflite", tmp_path / "out.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tflite", "page.tflite"]


@pytest.mark.parametrize("suffix", [".zip", ".gz"])
def test_an_archive_that_does_not_give_the_model_back_is_not_written(
    model: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("write_zip", "write_gzip"):
        right = getattr(archive, name)
        monkeypatch.setattr(archive, name, lambda _source, *rest, right=right: right(OTHER, *rest))
    with pytest.raises(OutputError, match=r"does not give .* back; nothing was written"):
        pack(model, model.with_name(f"out{suffix}"))
    assert [path.name for path in model.parent.iterdir()] == ["model.tflite"]


def test_command_line(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = model.with_name("out.zip")
    assert main(["pack", str(model), str(out)]) == 0
    size = out.stat().st_size
    assert (
        capfd.readouterr().out
        == f"{out}: {size:,} bytes ({size / model.stat().st_size:.1%} of the model's {model.stat().st_size:,})\n"
    )
    assert main(["pack", str(model), str(out)]) == 2
    assert "use --force" in capfd.readouterr().err
    assert main(["pack", "-q", "--force", str(model), str(out)]) == 0
    assert capfd.readouterr().out == ""


def test_cluster_packs_the_new_model(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, zipped = model.with_name("out.tflite"), model.with_name("out.zip")
    arguments = [str(model), str(out), "--zip", str(zipped), "--clusters", "16", "--no-check"]
    assert main(arguments) == 0
    with zipfile.ZipFile(zipped) as opened:
        assert opened.read("out.tflite") == out.read_bytes()
    assert f"{zipped}: {zipped.stat().st_size:,} bytes" in capfd.readouterr().out.replace("\n", "")


def test_cluster_packs_nothing_where_it_writes_no_model(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, zipped = model.with_name("out.tflite"), model.with_name("out.zip")
    assert main([str(model), str(out), "--zip", str(zipped), "--clusters", "2", "--min-sqnr", "90"]) == 99
    assert main([str(model), str(out), "--zip", str(model.with_name("out.rar"))]) == 2
    assert main([str(model), str(zipped), "--zip", str(zipped)]) == 2
    assert [path.name for path in model.parent.iterdir()] == ["model.tflite"]
    capfd.readouterr()
