"""A new model is kept close to its last release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import Config, ConfigError, ModelError, OutputError, cluster, cluster_bundle, diff
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model
from tflite_cluster.search.base import open_base

DIGITS = FOLDER.parents[1] / "examples" / "digits.tflite"
SMALL = ["conv_2d_float32", "fully_connected_int8", "conv_2d_float16", "depthwise_conv_2d_uint8", "conv_2d_int4"]
"""Models whose scales change only in a search."""


def retrained(path: Path, share: float) -> Path:
    """The digits with every float weight moved by a share of its tensor's size."""
    model = open_model(DIGITS)
    content = bytearray(DIGITS.read_bytes())
    generator = np.random.default_rng(1)
    for weight in analyse(model).weights:
        values = weight.codes(model)
        moved = values + share * values.std() * generator.standard_normal(values.shape)
        content[weight.span.start : weight.span.stop] = moved.astype("<f4").tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", SMALL)
def test_the_same_run_gives_the_same_file_again(name: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.tflite", tmp_path / "new.tflite"
    cluster(FOLDER / f"{name}.tflite", old, clusters=12, check=False, force=True)
    result = cluster(FOLDER / f"{name}.tflite", new, clusters=12, check=False, force=True, base=old)
    assert new.read_bytes() == old.read_bytes()
    assert result.update is not None
    assert result.update.unmatched == ()
    assert max(result.update.patches.values()) < 200  # type: ignore[union-attr, type-var]


@pytest.mark.parametrize("run", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_retrained_model_takes_a_small_patch(run: bool, tmp_path: Path) -> None:
    old, new = tmp_path / "old.tflite", retrained(tmp_path / "new.tflite", 0.03)
    cluster(DIGITS, old, clusters=16, run=run, check=False)
    drawn = cluster(new, clusters=16, base=old, run=run, check=False)
    plain = cluster(new, clusters=16, run=run, check=False)
    (tmp_path / "plain.tflite").write_bytes(plain.model or b"")
    before = open_base(analyse(open_model(new)), old, stores_codes=False)
    assert drawn.update is not None
    assert drawn.update.matched == len(before.weights) == 7
    assert drawn.sizes is not None
    assert max(drawn.update.patches.values()) < drawn.sizes.zip9.after / 5  # type: ignore[union-attr, type-var]
    for one, other in zip(drawn.tensors, plain.tensors, strict=True):
        if one.role == "weight":
            assert (one.sqnr or 0) > (other.sqnr or 0) - 1.5


def test_what_matches_no_weight_is_named(tmp_path: Path) -> None:
    update = cluster(DIGITS, clusters=16, run=False, base=retrained(tmp_path / "old.tflite", 0.01)).update
    assert update is not None
    assert update.matched == 4
    assert {each.reason for each in update.unmatched} == {"it is not clustered there"}


def test_a_base_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.tflite"
    page.write_bytes(b"<!DOCTYPE html>" * 100)
    with pytest.raises(ModelError, match=r"page.tflite.*; a base is the .tflite file of the last release"):
        cluster(DIGITS, base=page)
    with pytest.raises(ModelError, match=r"absent.tflite.*; a base is"):
        cluster(DIGITS, base=tmp_path / "absent.tflite")
    with pytest.raises(ConfigError, match=r"conv_2d_int8.tflite shares no weight with digits.tflite \(no weight"):
        cluster(DIGITS, base=FOLDER / "conv_2d_int8.tflite")
    old = retrained(tmp_path / "old.tflite", 0.01)
    with pytest.raises(OutputError, match=r"old.tflite is the base of the update: give the output another name"):
        cluster(DIGITS, old, base=old, force=True)
    with pytest.raises(ConfigError, match="leave out base: it is for one model"):
        cluster_bundle(tmp_path / "a.task", tmp_path / "b.task", base=old)


@pytest.mark.slow
def test_stored_codes_are_drawn_to_stored_codes(tmp_path: Path) -> None:
    old, new = tmp_path / "old.tflite", retrained(tmp_path / "new.tflite", 0.03)
    cluster(DIGITS, old, store="int8", run=False)
    drawn = cluster(new, store="int8", base=old, run=False).update
    plain = tmp_path / "plain.tflite"
    cluster(new, plain, store="int8", run=False)
    assert drawn is not None
    assert drawn.unmatched == ()
    sizes = diff(old, plain, patch=True).patches or {}
    assert (drawn.patches or {})["bsdiff"] < 0.7 * sizes["bsdiff"]  # type: ignore[operator]


def test_a_release_stored_otherwise_needs_the_same_setting(tmp_path: Path) -> None:
    old, new = tmp_path / "old.tflite", FOLDER / "conv_2d_float32.tflite"
    cluster(new, old, clusters=12, run=False, store="int8")
    with pytest.raises(ConfigError, match=r"\(it is stored as INT8 there\).* with the store that it was made with"):
        cluster(new, clusters=12, run=False, base=old)


@pytest.mark.parametrize("base", [b"TFL3", 5, ""])
def test_a_base_is_a_path(base: object) -> None:
    with pytest.raises(ConfigError, match="base must be the path of a"):
        Config.of({"base": base})
