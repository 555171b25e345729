"""Searches at the least effort, whose sensitivities are computed from gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tasks import task_of

from tflite_cluster.calibration.effort import BUDGETS, Effort
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.samples.load import load_samples
from tflite_cluster.samples.samples import Samples
from tflite_cluster.search.allocation import sensitivities
from tflite_cluster.search.calibrated import calibrate
from tflite_cluster.search.quality import Quality
from tflite_cluster.search.run import search

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.tflite"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


@pytest.fixture
def samples(process: InterpreterProcess) -> dict[str | None, Samples]:
    with np.load(EXAMPLES / "digits.samples.npz") as data:
        return load_samples({name: data[name][:100] for name in data}, process.call(describe, DIGITS))


def test_short_runs_compute_what_others_measure(
    process: InterpreterProcess, samples: dict[str | None, Samples], tmp_path: Path
) -> None:
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "copy.tflite") as copy:
        task = task_of(model, DIGITS, copy)
        effort = Effort.of(model, select(model)[0], budget=BUDGETS["fast"])
        calibrated = calibrate(task, process, samples, effort=effort)
        jobs = calibrated.jobs

        def error() -> Quality:
            quality = calibrated.judge.measure(copy)
            return replace(quality, distortion=10 ** (-quality.held_out_sqnr / 10))

        measured = sensitivities(calibrated.clusterer, list(jobs.values()), error, lambda *_: None)
        found = search(calibrated, lambda point: point.quality.held_out_sqnr >= 20)
    assert len(found.points) <= 2
    assert found.chosen is not None
    computed = np.array([found.sensitivities[number] for number in jobs])
    decibels = 10 * np.log10(computed / measured)
    assert abs(decibels.mean()) < 5
    assert decibels.std() < 4


def test_what_gradients_do_not_tell_is_measured_in_the_same_unit(
    process: InterpreterProcess, samples: dict[str | None, Samples], tmp_path: Path
) -> None:
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "copy.tflite") as copy:
        task = task_of(model, DIGITS, copy)
        effort = Effort.of(model, select(model)[0], budget=BUDGETS["fast"])
        whole = calibrate(task, process, samples, effort=effort)
        unknown = next(iter(whole.effects))
        part = replace(whole, effects={number: each for number, each in whole.effects.items() if number != unknown})
        computed, mixed = (search(each, lambda _: True).sensitivities for each in (whole, part))
    assert abs(10 * math.log10(mixed[unknown] / computed[unknown])) < 10
    assert all(mixed[number] == computed[number] for number in part.effects)
