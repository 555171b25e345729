"""How pixels are normalised, as the metadata of a model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.given_samples import batch, load, save, spec
from support.metadata import metadata, sound_metadata, with_metadata

from tflite_cluster.model.metadata import Normalisation, normalisations, sample_rates


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


def test_sample_rates_as_the_metadata_says() -> None:
    model = with_metadata(sound_metadata(16000))
    assert sample_rates(model) == {model.subgraphs[0].inputs[0]: 16000}
    assert normalisations(model) == {}
    assert sample_rates(with_metadata(sound_metadata(0))) == {}
    assert sample_rates(with_metadata(metadata([1.0], [2.0]))) == {}


@given(st.data())
def test_hostile_metadata_is_only_passed_over(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([metadata([127.5], [127.5]), sound_metadata(8000)])))
    for place in data.draw(st.lists(st.integers(8, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    stop = data.draw(st.integers(8, len(content)))
    for told in normalisations(with_metadata(bytes(content[:stop]))).values():
        assert np.isfinite([*told.mean, *told.std]).all()
    assert all(rate > 0 for rate in sample_rates(with_metadata(bytes(content[:stop]))).values())
