"""How pixels are normalised, as the metadata of a model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.given_samples import EXAMPLE, batch, load, save, spec

from tflite_cluster.model.metadata import Normalisation, normalisations
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.verify import Span


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
