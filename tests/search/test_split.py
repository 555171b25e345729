"""Which samples calibration sees, which are held out, and which candidates are judged by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.samples.samples import Samples
from tflite_cluster.samples.synthetic import gather_samples
from tflite_cluster.search.calibrated import split_samples


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


def samples_of(process: InterpreterProcess, count: int) -> dict[str | None, Samples]:
    return gather_samples(process.call(describe, FOLDER / "conv_2d_int8.tflite"), None, {}, count, 0)


def test_samples_are_shuffled_and_kept_apart(process: InterpreterProcess) -> None:
    samples = samples_of(process, 100)
    split = split_samples(samples, 0, 80, 30)
    for key, each in samples.items():
        judged = split.judged[key]
        assert each.count == 100
        assert len(judged) == len(set(judged)) == 80
        assert not np.array_equal(judged, np.sort(judged))
        assert sorted([*split.held_out[key], *split.calibration[key]]) == sorted(judged)
        assert len(split.few[key]) == 30
        assert len(split.calibration[key]) >= 40
        np.testing.assert_array_equal(judged, split_samples(samples, 0, 80, 30).judged[key])
        assert not np.array_equal(judged, split_samples(samples, 1, 80, 30).judged[key])


def test_candidates_can_be_judged_by_held_out_samples_alone(process: InterpreterProcess) -> None:
    samples = samples_of(process, 100)
    split = split_samples(samples, 0, 80, 50, by_held_out=True)
    for key in samples:
        assert set(split.judged[key]) == set(split.held_out[key])
        assert not set(split.judged[key]) & set(split.calibration[key])
        assert set(split.few[key]) <= set(split.judged[key])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_samples_are_enough_to_split(process: InterpreterProcess, count: int) -> None:
    split = split_samples(samples_of(process, count), 0, 300, 8)
    for part in (split.calibration, split.held_out, split.few, split.judged):
        assert all(len(indices) for indices in part.values())
