"""Samples as folders of WAV files."""

from __future__ import annotations

import contextlib
import struct
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.given_samples import batch, load, save, spec
from support.metadata import sound_metadata, with_metadata

from tflite_cluster import DataError
from tflite_cluster.samples import audio


def write_wav(path: Path, frames: npt.NDArray[Any], rate: int = 16000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames.astype("<i2").tobytes())


def test_waves(tmp_path: Path) -> None:
    frames = np.arange(-200, 200) * 100
    write_wav(tmp_path / "no" / "b.wav", frames)
    write_wav(tmp_path / "yes" / "a.wav", np.repeat(frames, 2), channels=2)
    samples = load(tmp_path, spec((1, 400)))
    assert np.allclose(batch(samples), frames[None, None] / 32768)
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]
    assert np.array_equal(batch(load(tmp_path, spec((1, 400), np.int16)))[1, 0], frames)


def test_longer_clips_are_cut_into_windows_that_keep_their_label(tmp_path: Path) -> None:
    write_wav(tmp_path / "no" / "b.wav", np.arange(1000))
    write_wav(tmp_path / "yes" / "a.wav", np.arange(5000, 5400))
    samples = load(tmp_path, spec((1, 400), np.int16))
    assert batch(samples)[:, 0].tolist() == [list(range(400)), list(range(400, 800)), list(range(5000, 5400))]
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 0, 1]
    assert samples.source.endswith("2 clips cut into 3 windows of 400 frames)")
    np.save(tmp_path / "labels.npy", [1, 0])
    relabelled = load(tmp_path, spec((1, 400), np.int16), labels=tmp_path / "labels.npy")
    assert relabelled.labels is not None
    assert relabelled.labels.tolist() == [1, 1, 0]


def test_the_rate_is_that_of_the_metadata(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(300), rate=8000)
    model = with_metadata(sound_metadata(16000))
    with pytest.raises(DataError, match=r"a\.wav: 8000 Hz, where the model takes 16000 Hz; resample it to 16000 Hz"):
        load(tmp_path, replace(spec((1, 300)), index=model.subgraphs[0].inputs[0]), model)
    write_wav(tmp_path / "a.wav", np.zeros(300), rate=16000)
    assert load(tmp_path, replace(spec((1, 300)), index=model.subgraphs[0].inputs[0]), model).count == 1


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
    with pytest.raises(DataError, match=r"a\.wav: 300 frames, where the input 'x' takes 400; pad it"):
        load(tmp_path, spec((1, 400)))
    with pytest.raises(DataError, match="mean, std and normalize are for folders of images"):
        load(tmp_path, spec((1, 300)), mean=(0,), std=(1,))
    with pytest.raises(DataError, match="missing: there is no such file or folder"):
        load(tmp_path / "missing", spec((1, 300)), mean=(0,), std=(1,))
    write_wav(tmp_path / "b.wav", np.zeros(300), rate=8000)
    with pytest.raises(DataError, match=r"b\.wav: 8000 Hz, where a\.wav has 16000"):
        load(tmp_path, spec((1, 300)))
    save(tmp_path / "c.png", np.zeros((3, 3)))
    with pytest.raises(DataError, match="both images and sounds"):
        load(tmp_path, spec((1, 300)))


@pytest.mark.slow
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
