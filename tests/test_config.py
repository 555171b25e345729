"""Settings that contradict each other or cannot matter, each refused with what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster import ConfigError, cluster, compare, sweep
from tflite_cluster.cli import main
from tflite_cluster.config import NORMALISATIONS, Chosen, Config

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    "settings",
    [
        {"data": "x.npz"},
        {"data": np.zeros((3, 4))},
        {"data": "x.npz", "labels": "y.npy"},
        {"data": "x", "mean": 0, "std": 255},
        {"data": "x", "normalize": "0..1"},
        {"metric": "a:b"},
        {"benchmark": True},
        {"chosen": Chosen("", False, {})},
        {"max_size": "4x"},
        {"min_agreement": 99},
        {"min_sqnr": 30},
        {"max_drop": 1},
    ],
    ids=" ".join,
)
def test_what_needs_a_run_is_refused_without_one(settings: Any) -> None:
    Config(**settings)
    with pytest.raises(ConfigError, match=rf"leave out {next(iter(settings))}: .*; or leave run on"):
        Config(run=False, **settings)


@pytest.mark.parametrize(
    "settings", [{"metric": "a:b"}, {"benchmark": True}, {"min_agreement": 99}, {"min_sqnr": 30}, {"max_drop": 1}]
)
def test_what_needs_the_comparison_is_refused_without_it(settings: Any) -> None:
    with pytest.raises(ConfigError, match=rf"leave out {next(iter(settings))}: .*; or leave check on"):
        Config(check=False, **settings)


def test_what_needs_a_run_alone_goes_without_the_comparison() -> None:
    Config(check=False, data="x", labels="y.npy", normalize="imagenet")
    Config(check=False, max_size="4x")
    Config(check=False, chosen=Chosen("", False, {}))
    Config(check=False, run=False, seed=3, workers=2, timeout=5, memory=1 << 30)


def test_coders_need_sizes() -> None:
    with pytest.raises(ConfigError, match=r"leave out coders, .* or leave measure on"):
        Config(coders=("xz",), measure=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"check": False}, "leave check on"),
        ({"run": False}, "leave run on"),
        ({"chosen": Chosen("", False, {})}, "leave out chosen"),
        ({"benchmark": True}, "leave out benchmark"),
        ({"metric": "a:b"}, "give max_drop too, or leave out metric"),
    ],
)
def test_a_curve_refuses_what_cannot_matter(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sweep(b"", **settings)


def test_values_for_scaled_pixels_are_refused_with_the_right_ones() -> None:
    right = r"give mean 123\.675,116\.28,103\.53 and std 58\.395,57\.12,57\.375, or in short normalize imagenet"
    with pytest.raises(ConfigError, match=right):
        Config(data="x", **IMAGENET)
    with pytest.raises(ConfigError, match=r"give mean 127\.5 and std 127\.5, or in short normalize -1\.\.1"):
        Config(data="x", mean=0.5, std=0.5)
    with pytest.raises(ConfigError, match=r"give mean 124\.95 and std 255$"):
        Config(data="x", mean=0.49, std=1)
    with pytest.raises(ConfigError, match=r"a std of 0\.5 .*: give 127\.5"):
        Config(data="x", mean=127.5, std=0.5)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.05, 0.99)), min_size=1, max_size=4))
def test_any_normalisation_of_scaled_pixels_is_refused(channels: list[tuple[float, float]]) -> None:
    mean, std = zip(*channels, strict=True)
    with pytest.raises(ConfigError, match="from 0 to 255"):
        Config(data="x", mean=mean, std=std)
    Config(data="x", mean=[255 * value for value in mean], std=[255 * value for value in std])


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0, 1), (0, 255), (127.5, 127.5), (127.5, 1), ((103.939, 116.779, 123.68), 1), (128, 128), (-128, 1)],
)
def test_values_for_pixels_as_they_are_stay(mean: Any, std: Any) -> None:
    Config(data="x", mean=mean, std=std)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_short_form_stands_for_a_mean_and_a_std(name: Any) -> None:
    config = Config(data="x", normalize=name)
    assert (config.numbers("mean"), config.numbers("std")) == NORMALISATIONS[name]
    with pytest.raises(ConfigError, match="leave out mean and std, or normalize"):
        Config(data="x", normalize=name, mean=0, std=255)
    with pytest.raises(ConfigError, match="normalize says how images are read: give data too"):
        Config(normalize=name)


def test_names_are_known() -> None:
    with pytest.raises(ConfigError, match=r"normalize must be one of 'imagenet', '-1..1', '0..1', not 'tf'"):
        Config(data="x", normalize="tf")  # type: ignore[arg-type]
    assert Config(data="x").numbers("mean") is None


@pytest.mark.parametrize("pattern", ["*/memory/*", "<clusters>", "{label}", "--workers"])
def test_a_message_leaves_what_the_user_wrote_word_for_word(pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of settings become those of options, and nothing else does."""
    model = str(FOLDER / "conv_2d_int8.tflite")
    assert main([model, "never.tflite", "--keep", pattern, "--no-run"]) == 2
    assert f"--keep: {pattern!r} fits no weight of conv_2d_int8.tflite" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=re.escape(f"keep: {pattern!r} fits no weight of conv_2d_int8.tflite")):
        cluster(model, keep=[pattern], run=False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cluster", "no setting is called 'cluster': did you mean clusters?"),
        ("min_sqrn", "no setting is called 'min_sqrn': did you mean min_sqnr?"),
        ("qqq", "no setting is called 'qqq': there are clusters, granularity, "),
        ("{a}<b>", "no setting is called '{a}<b>': there are clusters, granularity, "),
    ],
)
@pytest.mark.parametrize("verb", [cluster, sweep, lambda model, **settings: compare(model, model, **settings)])
def test_a_setting_that_does_not_exist_is_refused_with_the_nearest(verb: Any, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        verb(FOLDER / "conv_2d_int8.tflite", **{name: 3})
