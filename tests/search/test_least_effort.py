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
from tflite_cluster.search.calibrated import CalibratedModel, calibrate
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
    """Within 2 dB of a common factor, as heavy as each weight is; the search's multiplier makes up for the factor.

    Errors are computed as if they were independent. Feedback makes them cancel, so that less is measured, but no more
    than 6 dB, which a bit more for each weight would give.
    """
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "copy.tflite") as copy:
        calibrated = calibrated_in_short(copy, process, samples)
        jobs = calibrated.jobs
        measured = sensitivities(
            calibrated.clusterer, list(jobs.values()), lambda: as_error(calibrated.judge.measure(copy)), lambda *_: None
        )
        found = search(calibrated, lambda point: point.quality.held_out_sqnr >= 20)
    assert len(found.points) <= 2
    assert found.chosen is not None
    sizes = np.array([job.matrix.codes.size for job in jobs.values()])
    computed = np.array([found.sensitivities[number] for number in jobs])
    assert (computed == np.array([calibrated.effects[number] for number in jobs]) / sizes).all()
    decibels = 10 * np.log10(computed / measured)
    factor = np.average(decibels, weights=sizes)
    assert 0 < factor < 6
    assert math.sqrt(np.average(np.square(decibels - factor), weights=sizes)) < 2


def test_what_gradients_do_not_tell_is_measured_as_a_relative_error(
    process: InterpreterProcess, samples: dict[str | None, Samples], tmp_path: Path
) -> None:
    """Computed sensitivities have the same unit, and do not change when others are measured."""
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "copy.tflite") as copy:
        whole = calibrated_in_short(copy, process, samples)
        unknown = next(iter(whole.effects))
        part = replace(whole, effects={number: each for number, each in whole.effects.items() if number != unknown})
        (measured,) = sensitivities(
            whole.clusterer, [whole.jobs[unknown]], lambda: as_error(whole.judge_few()), lambda *_: None
        )
        found = []
        for calibrated in (whole, part):
            calibrated.restore()
            found.append(search(calibrated, lambda _: True).sensitivities)
    computed, mixed = found
    assert mixed == {**computed, unknown: measured}


def calibrated_in_short(
    copy: PatchedCopy, process: InterpreterProcess, samples: dict[str | None, Samples]
) -> CalibratedModel:
    """The digits model at the least effort."""
    effort = Effort.of(copy.model, select(copy.model)[0], budget=BUDGETS["fast"])
    return calibrate(task_of(copy.model, DIGITS, copy), process, samples, effort=effort)


def as_error(quality: Quality) -> Quality:
    """With the relative error of the outputs as the distortion."""
    return replace(quality, distortion=10 ** (-quality.held_out_sqnr / 10))
