"""Each patch gives the new file back, and a differ that is missing is said to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import bsdiff4
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster import diff
from tflite_cluster.cli import main
from tflite_cluster.packing import patches
from tflite_cluster.packing.patches import DIFFERS
from tflite_cluster.report.patches import patch_words

MODEL = FOLDER / "conv_2d_float32.tflite"


def _unzstd(old: bytes, patch: bytes) -> bytes:
    base = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=base).decompress(patch)


BACK: dict[str, Callable[[bytes, bytes], bytes]] = {"bsdiff": bsdiff4.patch, "zstd": _unzstd}


@pytest.mark.parametrize("name", DIFFERS)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_patch_gives_the_new_content_back(name: str, old: bytes, new: bytes) -> None:
    assert BACK[name](old, DIFFERS[name].make(old, new)) == new


@pytest.mark.parametrize("name", DIFFERS)
def test_the_whole_old_file_is_within_reach(name: str) -> None:
    chance = Path(__file__).read_bytes()[:1000]
    middle = np.random.default_rng(0).bytes(300_000)
    old = chance + middle
    assert len(DIFFERS[name].make(old, middle + chance)) < 600


def test_diff_measures_patches(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(MODEL, MODEL).patches is None
    assert main(["diff", str(MODEL), str(MODEL), "--patch"]) == 0
    assert "Patch: bsdiff 1" in capsys.readouterr().out
    assert main(["diff", str(MODEL), str(MODEL), "--patch", "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)["patches"]
    assert sizes.keys() == DIFFERS.keys()
    assert max(sizes.values()) < MODEL.stat().st_size / 4


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "find_spec", lambda name: None if name == "bsdiff4" else True)
    words = patch_words(patches.patch_sizes(b"old", b"new"))
    assert words.startswith("bsdiff not measured (pip install 'tflite-cluster[updates]'), zstd --patch-from ")


def test_a_differ_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "_SECONDS", 2.0)
    monkeypatch.setattr(patches, "_SECONDS_FOR_BYTE", 0.0)
    zeros = bytes(2_000_000)  # takes bsdiff a minute
    sizes = patches.patch_sizes(zeros, zeros)
    assert sizes["bsdiff"] is None
    assert patch_words({"bsdiff": None}) == "bsdiff not measured (it takes too long or too much memory)"
