"""A file that is no .tflite model is named, with what to do about it."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster.errors import ModelError
from tflite_cluster.model.read import open_model
from tflite_cluster.model.recognise import FORMATS, what_it_is

MODEL = (FOLDER / "conv_2d_float32.tflite").read_bytes()
MANY = [f"part{number}.tflite" for number in range(8)]


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as writer:
        for name in names:
            writer.writestr(name, MODEL)
    return content.getvalue()


def c_source(declaration: str) -> str:
    codes = ", ".join(f"0x{byte:02x}" for byte in MODEL)
    head = f'// Copyright 0 The authors {{}}\n#include "model.h"\n{declaration}'
    return f"{head} = {{\n  {codes}\n}};\nint length = {len(MODEL)};\n"


DECLARATIONS = [
    "unsigned char model_tflite[]",
    "const unsigned char g_model[] DATA_ALIGN_ATTRIBUTE",
    "alignas(16) const uint8_t model_data[4096]",
    "extern const unsigned char __attribute__((aligned(4))) model[]",
]
STRANGERS = {
    "bundle": (
        archive("hand_detector.tflite", "notes.txt"),
        "zip bundle that holds hand_detector.tflite: cluster it as a whole",
    ),
    "large bundle": (archive(*MANY), "part4.tflite and 3 more"),
    "gzip": (gzip.compress(MODEL), "gzip file: unpack it"),
    "PyTorch": (archive("net/data.pkl"), "PyTorch"),
    "Keras": (archive("config.json", "metadata.json", "model.weights.h5"), r"\.keras"),
    "other zip": (archive("readme.txt"), "without a .tflite model"),
    "cut zip": (archive("a.tflite")[:300], "damaged zip"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "LiteRT-LM": (b"LITERTLM" + bytes(64), "litertlm"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "page": (b"\n <!DOCTYPE html><html></html>", "web page"),
    "SavedModel": (b"\x08\x01\x12\xb0\x01\n\x0e", "SavedModel"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x051.0.0" + bytes(16), "ONNX"),
    **{f"C, {text}": (c_source(text).encode(), "C source.*xxd -r -p") for text in DECLARATIONS},
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_of_another_kind_is_named(name: str, tmp_path: Path) -> None:
    content, advice = STRANGERS[name]
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"(?s)^model\.tflite: not a \.tflite model: it is .*{advice}"):
        open_model(path)


@pytest.mark.skipif(shutil.which("xxd") is None or shutil.which("grep") is None, reason="needs grep and xxd")
@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_the_remedy_for_c_source_gives_the_model_back(declaration: str, tmp_path: Path) -> None:
    source = c_source(declaration)
    (tmp_path / "model.cc").write_text(source)
    (command,) = re.findall(r"`(grep .*?)`", what_it_is(memoryview(source.encode())) or "")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "model.tflite").read_bytes() == MODEL


def test_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a folder: name the"):
        open_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match="SavedModel: convert"):
        open_model(tmp_path)


@pytest.mark.parametrize("content", [b"", bytes(64), b"TFL3" * 4, b"just words [in] a = { text"])
def test_what_is_not_known_is_not_guessed(content: bytes) -> None:
    assert what_it_is(memoryview(content)) is None


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", *(start for form in FORMATS for start in form.starts)]),
)
def test_no_bytes_bring_it_down(content: bytes, start: bytes) -> None:
    what_it_is(memoryview(start + content))
