"""Samples as folders of images: decoded, cropped, normalised, or refused with a reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.given_samples import COUNT, EXAMPLE, ROOT, SCHEMA, batch, load, save, spec

from tflite_cluster import DataError
from tflite_cluster.cli import main
from tflite_cluster.model.read import open_model
from tflite_cluster.samples import images


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder of PNG files for each class, and the working directory beside it."""
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        for number, (image, label) in enumerate(zip(samples["x"][:COUNT], samples["y"][:COUNT], strict=True)):
            save(tmp_path / "photos" / str(label) / f"{number:03}.png", np.round(image[..., 0] * 255))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.mark.slow
def test_class_folders_through_the_command(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{EXAMPLE} out.tflite --clusters 16 --data {digits.name} --mean 0 --std 255 --report out.json"
    assert main(command.split()) == 0
    text = capsys.readouterr().out
    assert "30 labelled samples from photos (numbers of the class folders; pixels less 0, over 255)" in text
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["config"]["mean"] == [0]
    assert report["fidelity"]["accuracy"]["before"] > 0.9
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        x, y = samples["x"][:COUNT], samples["y"][:COUNT]
    folder = load(digits, spec((1, 8, 8, 1)), mean=(0,), std=(255,))
    order = [int(path.stem) for path in sorted(digits.rglob("*.png"), key=lambda path: path.as_posix())]
    assert np.allclose(batch(folder)[:, 0], x[order], atol=0.5 / 255)
    assert folder.labels is not None
    assert folder.labels.tolist() == y[order].tolist()


def test_labels_of_other_files(digits: Path) -> None:
    files = sorted(digits.rglob("*.png"), key=lambda path: path.as_posix())
    rows = [f"{path.relative_to(digits).as_posix()},{path.parent.name}" for path in files[:20]]
    Path("labels.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    np.save("labels.npy", [int(path.parent.name) for path in files])
    model = open_model(EXAMPLE)
    listed = load(digits, spec((1, 8, 8, 1)), model, labels=Path("labels.csv"), mean=(0,), std=(255,))
    counted = load(digits, spec((1, 8, 8, 1)), model, labels=Path("labels.npy"), mean=(0,), std=(255,))
    assert listed.count == 20
    assert listed.labels is not None
    assert counted.labels is not None
    assert listed.labels.tolist() == counted.labels[:20].tolist() == [int(path.parent.name) for path in files[:20]]


@pytest.mark.parametrize(
    ("mode", "shape", "expected"),
    [
        ("RGB", (1, 2, 2, 3), [10, 200, 30]),
        ("RGB", (1, 3, 2, 2), [10, 200, 30]),
        ("L", (1, 2, 2, 3), [124, 124, 124]),
        ("RGB", (-1, 2, 2, 1), [124]),
        ("RGBA", (1, 2, 2, 3), [10, 200, 30]),
        ("P", (1, 2, 2, 3), [10, 200, 30]),
    ],
)
def test_channels_are_converted(mode: str, shape: tuple[int, ...], expected: list[int], tmp_path: Path) -> None:
    pixels = np.tile(np.array([10, 200, 30], np.uint8), (6, 4, 1))
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    values = batch(load(tmp_path, spec(shape, np.uint8)))[0, 0]
    channels = values[:, 0, 0] if values.shape[0] == 3 else values[0, 0]
    tolerance = 12 if mode == "P" else 1  # a palette of fixed colours
    assert np.abs(channels.astype(int) - expected).max() <= tolerance


def test_the_middle_is_cropped_and_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 255
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # taken with the camera on its side
    image.save(tmp_path / "b.png", exif=turned)
    values = batch(load(tmp_path, spec((1, 4, 4, 1), np.uint8)))
    assert values.min() == 255
    assert values.shape == (2, 1, 4, 4, 1)


@given(st.integers(0, 255), st.sampled_from([np.uint8, np.int8]), st.floats(0.001, 2), st.integers(-100, 100))
def test_pixels_of_a_quantised_input_are_its_codes(pixel: int, dtype: Any, scale: float, zero: int) -> None:
    info = np.iinfo(dtype)
    of = spec((1, 1, 1, 1), dtype, float(np.float32(scale)), int(np.clip(zero, info.min, info.max)))
    frame = images.Frame.of(of, None, None, "photos")
    assert frame.mean is not None
    assert frame.std is not None
    real = (np.float32(pixel) - frame.mean) / frame.std
    assert abs(int(of.quantise(real)[0]) - (pixel + int(info.min))) <= (1 if scale < 0.01 else 0)


def test_images_are_decoded_once_and_stay_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", np.full((5, 5), number * 50))
    samples = load(tmp_path, spec((1, 3, 3, 1)), mean=(127.5,), std=(127.5,))
    before = batch(samples)
    monkeypatch.setattr(images, "decode", None)
    assert np.array_equal(batch(samples), before)
    assert np.array_equal(before[:, 0, 0, 0, 0], (np.arange(4, dtype=np.float32) * 50 - 127.5) / 127.5)


def test_pixels_that_are_not_kept_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", np.eye(7) * 255)
    monkeypatch.setattr(images, "_MOST_KEPT", 0)
    samples = load(tmp_path, spec((1, 3, 3, 1), np.uint8))
    assert np.array_equal(batch(samples), batch(samples))


def test_images_that_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good.png", np.zeros((3, 3)))
    image = spec((1, 3, 3, 3))
    with pytest.raises(
        DataError, match="nothing tells how the input 'x' takes pixels; give --normalize as in training"
    ):
        load(tmp_path, image)
    with pytest.raises(DataError, match=r"shape \[1, 49, 10\] takes no images"):
        load(tmp_path, spec((1, 49, 10)))
    with pytest.raises(DataError, match="2 numbers for mean, but images of 3 channels"):
        load(tmp_path, image, mean=(1, 2), std=(1,))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(DataError, match=r"bad\.jpg: cannot be read as an image"):
        load(tmp_path, image, mean=(0,), std=(1,))
    (tmp_path / "bad.jpg").unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(DataError, match=r"good\.png: far larger"):
        load(tmp_path, image, mean=(0,), std=(1,))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DataError, match=r"pip install 'tflite-cluster\[images\]'"):
        load(tmp_path, image, mean=(0,), std=(1,))
