"""Samples as people have them: folders of images and sounds, lists of labels, functions, and scores of their own."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tflite_cluster import ConfigError, DataError, FidelityError, Result, cluster
from tflite_cluster.calibration import audio, images
from tflite_cluster.calibration.given import Reading, prepare
from tflite_cluster.calibration.labels import label_files
from tflite_cluster.calibration.load import load_samples
from tflite_cluster.calibration.samples import Samples
from tflite_cluster.cli import main
from tflite_cluster.interpreter.interface import ModelInterface, Signature, TensorSpec
from tflite_cluster.model.label_file import class_names
from tflite_cluster.model.metadata import Normalisation, normalisations
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.verify import Span

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
EXAMPLE = ROOT / "examples" / "digits.tflite"
SCHEMA = json.loads((ROOT / "schema" / "report.schema.json").read_text(encoding="utf-8"))
COUNT = 30


def spec(shape: tuple[int, ...], dtype: Any = np.float32, scale: float = 0.0, zero: int = 0) -> TensorSpec:
    return TensorSpec("x", 0, tuple(abs(size) for size in shape), shape, np.dtype(dtype), scale, zero)


def load(data: Any, of: TensorSpec, model: Model | None = None, **reading: Any) -> Samples:
    scores = replace(spec((1, 2)), name="scores")
    interface = ModelInterface((Signature(None, (of,), (scores,)),))
    prepared, labels = prepare(data, Reading(**reading), model or open_model(EXAMPLE), interface)
    return load_samples(prepared, interface, labels)[None]


def batch(samples: Samples) -> npt.NDArray[Any]:
    return samples.batch(0, samples.count)["x"]


def save(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)


def write_wav(path: Path, frames: npt.NDArray[Any], rate: int = 16000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames.astype("<i2").tobytes())


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder of PNG files for each class, and the working directory beside it."""
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        for number, (image, label) in enumerate(zip(samples["x"][:COUNT], samples["y"][:COUNT], strict=True)):
            save(tmp_path / "photos" / str(label) / f"{number:03}.png", np.round(image[..., 0] * 255))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def run(**given: Any) -> Result:
    return cluster(EXAMPLE, clusters=given.pop("clusters", 16), measure=False, force=True, **given)


# Images


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
    with pytest.raises(DataError, match="nothing tells how the input 'x' takes pixels; give --mean and --std"):
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


# Labels


def test_class_names_find_their_numbers(tmp_path: Path) -> None:
    files = [tmp_path / name / "a.png" for name in ("Tabby Cat", "dog")]
    _, labels, words = label_files(tmp_path, files, None, ["background", "dog", "tabby_cat"], {3})
    assert labels is not None
    assert labels.tolist() == [2, 1]
    assert "label file" in words
    _, labels, words = label_files(tmp_path, files, None, ["dog", "dog", "tabby cat"], {2})
    assert labels is not None
    assert labels.tolist() == [0, 1]
    assert "order of the 2 folders' names" in words
    _, labels, words = label_files(tmp_path, files, None, ["dog", "dog", "tabby cat"], {3})
    assert labels is None
    assert words == "no labels: the folder 'dog' does not stand just once in the model's label file"
    _, labels, words = label_files(tmp_path, files, None, [], {3})
    assert labels is None
    assert words == "no labels: there are 2 class folders, and no output has as many classes"


def test_files_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    assert label_files(tmp_path, [tmp_path / "a.png", tmp_path / "x" / "b.png"], None, [], {2})[1] is None
    assert label_files(tmp_path, [tmp_path / "all" / "a.png"], None, [], {1})[1] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a.png", "'a.png' has no label"),
        ("b.png,1", "no file 'b.png'"),
        ("file,label", "no labels in it"),
        ("a.png,cat", "'cat' is no number"),
    ],
)
def test_tables_that_cannot_be_taken(content: str, words: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        label_files(tmp_path, [tmp_path / "a.png"], table, ["dog"], {2})


def test_label_file_behind_a_model() -> None:
    assert len(class_names(open_model(FIXTURES / "labels_behind_float32.tflite"))) > 1
    assert class_names(open_model(EXAMPLE)) == ()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_hostile_archive_is_only_passed_over(data: st.DataObject) -> None:
    content = bytearray((FIXTURES / "labels_behind_float32.tflite").read_bytes())
    model = open_model(bytes(content))
    for place in data.draw(st.lists(st.integers(len(content) - 200, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    class_names(replace(model, data=memoryview(bytes(content))))


# Metadata


def metadata(mean: list[float], std: list[float]) -> bytes:
    """The flatbuffer that says so, for one input."""
    builder = flatbuffers.Builder(0)

    def floats(values: list[float]) -> int:
        return int(builder.CreateNumpyVector(np.array(values, np.float32)))

    def table(**fields: int) -> int:
        builder.StartObject(8)
        for name, value in fields.items():
            slot = int(name[1:])
            if name[0] == "t":
                builder.PrependUint8Slot(slot, value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(builder.EndObject())

    def vector(item: int) -> int:
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    options = table(f0=floats(mean), f1=floats(std))
    inputs = vector(table(f4=vector(table(t0=1, f1=options))))
    builder.Finish(table(f3=vector(table(f2=inputs))), b"M001")
    return bytes(builder.Output())


def with_metadata(content: bytes) -> Model:
    model = open_model(EXAMPLE)
    return replace(model, data=memoryview(content), buffers=(Span(0, len(content)),), metadata={0: "TFLITE_METADATA"})


def test_normalisation_as_the_metadata_says(tmp_path: Path) -> None:
    model = with_metadata(metadata([1, 2, 3], [4, 5, 6]))
    assert normalisations(model) == {model.subgraphs[0].inputs[0]: Normalisation((1, 2, 3), (4, 5, 6))}
    save(tmp_path / "a.png", np.tile(np.array([9, 12, 21], np.uint8), (2, 2, 1)))
    samples = load(tmp_path, spec((1, 2, 2, 3)), model)
    assert batch(samples)[0, 0, 0, 0].tolist() == [2, 2, 3]
    assert samples.source.endswith("(pixels less 1 2 3, over 4 5 6, as the metadata says)")


@pytest.mark.parametrize(("mean", "std"), [([0.0], [0.0]), ([np.nan], [1.0]), ([], [1.0]), ([1.0], [np.inf])])
def test_normalisation_that_makes_no_sense(mean: list[float], std: list[float]) -> None:
    assert normalisations(with_metadata(metadata(mean, std))) == {}


@given(st.data())
def test_hostile_metadata_is_only_passed_over(data: st.DataObject) -> None:
    content = bytearray(metadata([127.5], [127.5]))
    for place in data.draw(st.lists(st.integers(8, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    stop = data.draw(st.integers(8, len(content)))
    for told in normalisations(with_metadata(bytes(content[:stop]))).values():
        assert np.isfinite([*told.mean, *told.std]).all()


# Sounds


def test_waves(tmp_path: Path) -> None:
    frames = np.arange(-200, 200) * 100
    write_wav(tmp_path / "no" / "b.wav", frames)
    write_wav(tmp_path / "yes" / "a.wav", np.repeat(frames, 2), channels=2)
    samples = load(tmp_path, spec((1, 400)))
    assert np.allclose(batch(samples), frames[None, None] / 32768)
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]
    assert np.array_equal(batch(load(tmp_path, spec((1, 400), np.int16)))[1, 0], frames)


def test_a_wave_of_floats(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 200, dtype="<f4")
    form = struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32)
    chunks = b"".join(
        struct.pack("<4sI", kind, len(part)) + part + b"\0" * (len(part) % 2)
        for kind, part in ((b"LIST", b"odd"), (b"fmt ", form), (b"data", values.tobytes()))
    )
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    assert np.array_equal(batch(load(tmp_path, spec((1, 200, 1)))).ravel(), values)


def test_waves_that_cannot_be_taken(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(300))
    with pytest.raises(DataError, match=r"shape \[1, 49, 10, 1\] takes no waveform"):
        load(tmp_path, spec((1, 49, 10, 1)))
    with pytest.raises(DataError, match=r"a\.wav: 300 frames, where the input 'x' takes 400"):
        load(tmp_path, spec((1, 400)))
    with pytest.raises(DataError, match="mean and std are for folders of images"):
        load(tmp_path, spec((1, 300)), mean=(0,), std=(1,))
    write_wav(tmp_path / "b.wav", np.zeros(300), rate=8000)
    with pytest.raises(DataError, match=r"b\.wav: 8000 Hz, where a\.wav has 16000"):
        load(tmp_path, spec((1, 300)))
    save(tmp_path / "c.png", np.zeros((3, 3)))
    with pytest.raises(DataError, match="both images and sounds"):
        load(tmp_path, spec((1, 300)))


@given(data=st.data())
def test_hostile_waves_are_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.wav"
    write_wav(path, np.arange(20))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, 43), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with contextlib.suppress(DataError):
        assert audio.read_wav(path).wave.ndim == 1


# Functions

FUNCTIONS = """
import numpy as np

def archive():
    with np.load("ARCHIVE") as data:
        return data["x"][:30], data["y"][:30]

def labelled():
    yield from zip(*archive())

def named():
    for image in archive()[0]:
        yield {"image": image}

def some_labelled():
    images, labels = archive()
    yield images[0], labels[0]
    yield images[1]

def uneven():
    yield np.zeros(64, np.float32)
    yield np.zeros(63, np.float32)

def empty():
    return []

def breaks():
    yield np.zeros(64, np.float32)
    raise KeyError("lost")

def accuracy(model):
    images, labels = archive()
    hits = [model.run({"image": image})["scores"].argmax() == label for image, label in zip(images, labels)]
    return np.mean(hits)

def falls(model):
    falls.calls += 1
    return -falls.calls

falls.calls = 0

def nothing(model):
    return float("nan")

def misnamed(model):
    return model.run({"picture": 0})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's in the working directory."""
    name = f"of_mine_{abs(hash(tmp_path))}"
    archive = (ROOT / "examples" / "digits.samples.npz").as_posix()
    content = FUNCTIONS.replace("ARCHIVE", archive).replace("scores", output_name())
    (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return name


def output_name() -> str:
    from tflite_cluster.interpreter.worker import describe

    return describe(EXAMPLE).signatures[0].outputs[0].name


def test_a_function_gives_what_an_archive_gives(module: str) -> None:
    with np.load(ROOT / "examples" / "digits.samples.npz") as data:
        x, y = data["x"][:30], data["y"][:30]
    of = replace(spec((1, 8, 8, 1)), name="image")
    for function in (f"{module}:labelled", lambda: zip(x, y, strict=True)):
        samples = load(function, of)
        assert np.array_equal(samples.batch(0, 30)["image"][:, 0], x)
        assert samples.labels is not None
        assert samples.labels.tolist() == y.tolist()
    named = load(f"{module}:named", of)
    assert named.labels is None
    assert named.source == f"30 samples from {module}:named"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("some_labelled", "1 of 2 samples have a label"),
        ("uneven", r"sample 1 \(counted from 0\) is float32 of shape \[63\]"),
        ("empty", "it yields no samples"),
        ("breaks", r"at sample 1 \(counted from 0\): KeyError: 'lost'"),
    ],
)
def test_functions_that_cannot_be_taken(function: str, words: str, module: str) -> None:
    with pytest.raises(DataError, match=f"{module}:{function}: {words}"):
        run(data=f"{module}:{function}")


@pytest.mark.parametrize("name", ["no_such_module:f", "json:no_such_function", "json:__name__"])
def test_functions_that_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"data: {name}"):
        run(data=name)


# A metric of one's own


def test_a_metric_is_reported_and_judged(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{EXAMPLE} out.tflite --data {module}:labelled --metric {module}:accuracy --max-drop 0.05"
    assert main([*command.split(), "--clusters", "32", "--report", "out.json"]) == 0
    text = capsys.readouterr().out
    assert f"score of {module}:accuracy" in text
    assert "gate max-drop holds" in text
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    fidelity = report["fidelity"]
    assert fidelity["score"]["before"] == pytest.approx(fidelity["accuracy"]["before"])
    assert fidelity["score"]["after"] == pytest.approx(fidelity["accuracy"]["after"])
    assert fidelity["score"]["before"] - fidelity["score"]["after"] <= 0.05


def test_a_metric_that_falls_fails_the_gate(module: str) -> None:
    with pytest.raises(FidelityError, match=r"changes from -1 to -2, and 0\.5 may be lost") as caught:
        run(data=f"{module}:labelled", metric=f"{module}:falls", max_drop=0.5)
    assert caught.value.result.fidelity.score is not None


def test_a_metric_steers_the_search() -> None:
    model = FIXTURES / "fully_connected_float32.tflite"
    (weight, *_), _ = select(open_model(model))
    original = model.read_bytes()[weight.span.start : weight.span.stop]

    def faithfulness(scored: Any) -> float:
        """Correlation with the original weights."""
        content = scored.path.read_bytes()[weight.span.start : weight.span.stop]
        return float(np.corrcoef(np.frombuffer(original, "<f4"), np.frombuffer(content, "<f4"))[0, 1])

    chosen = []
    for most in (1e-4, 1e-1):
        result = cluster(model, metric=faithfulness, max_drop=most, measure=False, force=True)
        assert result.fidelity.score is not None
        assert result.fidelity.score.before == pytest.approx(1)
        assert 0 < result.fidelity.score.drop <= most
        assert result.strategy.search is not None
        assert result.strategy.search.chosen is not None
        chosen.append(result.strategy.search.chosen.bits)
    assert chosen[0] > chosen[1] + 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "it gives nan, where a finite number"),
        ("misnamed", "gives the inputs .'picture'., and"),
    ],
)
def test_metrics_that_tell_nothing(function: str, words: str, module: str) -> None:
    with pytest.raises(DataError, match=words):
        run(data=f"{module}:labelled", metric=f"{module}:{function}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mean": 1.0, "data": "x"}, "mean and std go together"),
        ({"mean": 1.0, "std": 0.0, "data": "x"}, "std not 0"),
        ({"mean": 1.0, "std": 1.0}, "give data too"),
        ({"labels": "labels.csv"}, "give data too"),
        ({"metric": "a:b", "check": False}, "leave check on"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**given)
