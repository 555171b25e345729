"""Sensitivities, prices, and the judge, with the interpreter, on the example and on fixtures."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER
from support.operators import convolution, dense_of_a_constant
from support.tasks import task_of

from tflite_cluster.calibration.effort import BUDGETS, Effort
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.layers import as_rows, real_bias
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.samples.load import load_samples
from tflite_cluster.samples.samples import Samples
from tflite_cluster.samples.synthetic import gather_samples, probe_samples
from tflite_cluster.search.allocation import base_prices, price_at_sqnr
from tflite_cluster.search.calibrated import CalibratedModel, calibrate
from tflite_cluster.search.clusterer import Clusterer
from tflite_cluster.search.curve import Curve
from tflite_cluster.search.encodings import RescaledCodes
from tflite_cluster.search.job import Job
from tflite_cluster.search.points import Point
from tflite_cluster.search.quality import Quality
from tflite_cluster.search.run import search, search_size

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow
DIGITS = EXAMPLES / "digits.tflite"
INT8 = FOLDER / "conv_2d_int8.tflite"


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as process:
        yield process


def samples_of(process: InterpreterProcess, path: Path, count: int = 30) -> dict[str | None, Samples]:
    interface = process.call(describe, path)
    if path != DIGITS:
        return gather_samples(interface, None, {}, count, 0)
    with np.load(EXAMPLES / "digits.samples.npz") as data:
        return load_samples({name: data[name][:count] for name in data}, interface)


def bench_of(process: InterpreterProcess, path: Path, copy: PatchedCopy, model: Model) -> CalibratedModel:
    samples = samples_of(process, path)
    return calibrate(task_of(model, path, copy), process, samples)


@pytest.fixture(params=[DIGITS, INT8], ids=["digits", "int8"])
def calibrated(
    request: pytest.FixtureRequest, process: InterpreterProcess, tmp_path: Path
) -> Iterator[CalibratedModel]:
    model = open_model(request.param)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        yield bench_of(process, request.param, copy, model)


def measure(calibrated: CalibratedModel) -> Quality:
    return calibrated.judge.measure(calibrated.copy, calibrated.split.judged)


@pytest.mark.parametrize(("path", "has_scores"), [(DIGITS, True), (INT8, False)])
def test_class_scores_are_judged_by_probes(
    process: InterpreterProcess, tmp_path: Path, path: Path, has_scores: bool
) -> None:
    model, interface = open_model(path), process.call(describe, path)
    samples = gather_samples(interface, None, {}, 30, 0)
    probes = {each.key: partial(probe_samples, each, {}, 60, 0) for each in interface.signatures}
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        calibrated = calibrate(task_of(model, path, copy), process, samples, probes=probes)
        assert (calibrated.probes is not None) == has_scores
        assert calibrated.judge_all().scores_sqnr == math.inf
        jobs = list(calibrated.jobs.values())
        calibrated.clusterer.apply_all(jobs, [price_at_sqnr(job, 10.0) for job in jobs])
        quality = calibrated.judge_all()
        assert math.isfinite(quality.scores_sqnr) == has_scores
        if calibrated.probes is not None:
            assert quality.scores_sqnr == calibrated.probes.measure(copy).scores_sqnr
        plain = calibrated.judge.measure(copy, calibrated.split.judged)
        assert (quality.scores_sqnr != plain.scores_sqnr) == has_scores


def test_an_identical_copy_has_no_distortion(calibrated: CalibratedModel) -> None:
    quality = measure(calibrated)
    assert quality.distortion == 0
    assert quality.sqnr == math.inf
    assert (quality.expected_loss or 0) == 0
    assert quality.agreement in (None, 1)


def test_the_judge_sees_every_change_to_the_copy(calibrated: CalibratedModel) -> None:
    """The interpreter keeps the copy open: a stale one would look like the one before."""
    jobs = list(calibrated.jobs.values())
    found = []
    for sqnr in (40.0, 20.0, 10.0):
        calibrated.clusterer.apply_all(jobs, [price_at_sqnr(job, sqnr) for job in jobs])
        found.append(measure(calibrated).sqnr)
    assert found[0] > found[1] > found[2]
    for job in jobs:
        calibrated.clusterer.restore(job)
    assert calibrated.copy.spans == frozenset()
    assert measure(calibrated).distortion == 0


def test_a_price_leaves_about_the_sqnr_it_is_made_for(calibrated: CalibratedModel) -> None:
    for job in calibrated.jobs.values():
        if len(job.matrix.histogram) < 100:
            continue
        [priced] = calibrated.clusterer.apply_all([job], [price_at_sqnr(job, 22.0)])
        assert 10 * math.log10(job.matrix.power / priced.error) == pytest.approx(22, abs=6)
        calibrated.clusterer.restore(job)


def test_whoever_asks_for_less_than_the_usual_gets_no_larger_file(calibrated: CalibratedModel) -> None:
    least = (
        60 if calibrated.floor.sqnr > 100 else 15
    )  # below, all tensors of the digits are at the floor under their SQNR

    def usual(point: Point) -> bool:
        return point.quality.sqnr >= least

    chosen = search(calibrated, usual).chosen
    assert chosen is not None
    calibrated.restore()  # sensitivities are measured in the copy
    scattered = search(calibrated, lambda point: point.bits == chosen.bits, usual).chosen  # no other is good
    assert scattered is not None
    assert (scattered.bits, scattered.quality) == (chosen.bits, chosen.quality)
    assert measure(calibrated) == chosen.quality, "the copy holds the point chosen"
    calibrated.restore()
    looser = search(calibrated, lambda point: point.quality.sqnr >= least / 2, usual).chosen
    assert looser is not None
    assert looser.bits < chosen.bits
    assert measure(calibrated) == looser.quality


def test_a_search_ends_on_what_it_chose(calibrated: CalibratedModel) -> None:
    least = (
        60 if calibrated.floor.sqnr > 100 else 15
    )  # below, all tensors of the digits are at the floor under their SQNR
    found = search(calibrated, lambda point: point.quality.sqnr >= least)
    assert found.chosen is not None
    assert found.chosen.quality.sqnr >= least
    assert measure(calibrated) == found.chosen.quality, "the copy holds the point chosen"
    best = max((point for point in found.points if point.quality.sqnr >= least), key=lambda point: point.multiplier)
    assert best.multiplier == pytest.approx(found.chosen.multiplier)
    assert found.sensitivities.keys() == found.prices.keys() == calibrated.jobs.keys()
    assert all(value > 0 for value in [*found.sensitivities.values(), *found.prices.values()])
    ordered = sorted((point for point in found.points if not point.in_order), key=lambda point: point.multiplier)
    # Near the floor under every tensor's SQNR its price falls in steps of 0.7, which are 0.26 bits.
    assert all(cheap.bits > dear.bits - 0.26 for cheap, dear in pairwise(ordered))
    assert ordered[0].bits > ordered[-1].bits


@pytest.mark.parametrize("calibrated", [INT8], indirect=True, ids=["int8"])
def test_a_search_for_what_is_impossible_says_so(calibrated: CalibratedModel) -> None:
    found = search(calibrated, lambda _: False)
    assert found.chosen is None
    assert len(found.points) <= 20


@pytest.mark.parametrize("calibrated", [INT8], indirect=True, ids=["int8"])
def test_a_search_for_a_size_ends_on_what_fits(calibrated: CalibratedModel) -> None:
    sizes: list[int] = []

    def fits() -> bool:
        sizes.append(len(zlib.compress(calibrated.copy.read())))
        return sizes[-1] <= 1700

    found = search_size(calibrated, fits)
    assert found.chosen is not None
    assert len(zlib.compress(calibrated.copy.read())) <= 1700
    assert measure(calibrated) == found.chosen.quality
    assert max(sizes) > 1700
    best = max(point.quality.sqnr for point, size in zip(found.points, sizes, strict=False) if size <= 1700)
    assert found.chosen.quality.sqnr >= best - 0.5


@pytest.mark.parametrize("calibrated", [DIGITS], indirect=True, ids=["digits"])
def test_layers_clustered_in_order_make_up_for_those_before_them(calibrated: CalibratedModel) -> None:
    curve = Curve(calibrated, {number: price_at_sqnr(job, 14.0) for number, job in calibrated.jobs.items()})
    at_once = curve.evaluate(1.0)
    in_order = curve.evaluate_in_order(1.0)
    assert (at_once.in_order, in_order.in_order) == (False, True)
    assert in_order.bits == pytest.approx(at_once.bits, abs=0.1)
    assert in_order.quality.distortion < 0.9 * at_once.quality.distortion
    assert measure(calibrated) == in_order.quality


@pytest.mark.parametrize("calibrated", [DIGITS], indirect=True, ids=["digits"])
def test_what_is_not_good_in_order_is_not_taken(calibrated: CalibratedModel) -> None:
    """A target that the layers hold at once must not be lost by clustering them in order."""
    found = search(calibrated, lambda point: not point.in_order and point.quality.sqnr >= 15)
    assert any(point.in_order for point in found.points)
    assert found.chosen is not None
    assert not found.chosen.in_order
    assert measure(calibrated) == found.chosen.quality


def test_a_copy_is_put_back_to_what_it_was(calibrated: CalibratedModel) -> None:
    jobs = list(calibrated.jobs.values())
    calibrated.clusterer.apply_all(jobs[:1], [price_at_sqnr(jobs[0], 20.0)])
    before, kept = calibrated.copy.read(), calibrated.copy.contents()
    calibrated.clusterer.apply_all(jobs, [price_at_sqnr(job, 10.0) for job in jobs])
    assert calibrated.copy.read() != before
    calibrated.copy.put_back(kept)
    assert calibrated.copy.read() == before


def test_sensitive_tensors_cost_more_bits(process: InterpreterProcess, tmp_path: Path) -> None:
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        jobs = list(bench_of(process, DIGITS, copy, model).jobs.values())
        prices = base_prices(jobs, np.array([1.0, *[4.0] * (len(jobs) - 1)]))
    assert len(jobs) > 1
    np.testing.assert_allclose(prices[0], 4 * prices[1:])


def test_feedback_helps_weights_that_are_used_several_times(process: InterpreterProcess, tmp_path: Path) -> None:
    path = FOLDER / "gru_unrolled_float32.tflite"
    model = open_model(path)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        calibrated = bench_of(process, path, copy, model)
        shared = [job for job in calibrated.jobs.values() if len(job.weight.users) > 1]
        assert len(shared) == 2
        assert all(job.layer is None and job.matrix.feedback is not None for job in shared)
        sqnrs = []
        for jobs in ([replace(job, matrix=replace(job.matrix, feedback=None)) for job in shared], shared):
            calibrated.clusterer.apply_count([replace(job, clusters=8) for job in jobs])
            sqnrs.append(measure(calibrated).held_out_sqnr)
        assert sqnrs[1] > sqnrs[0] + 0.5


LEAST = {"conv_2d_hybrid_int8": 3}
"""dB that are left at 25 dB of the weights: its outputs have a mean far above what varies; 12 for the others."""

SCALED = ["conv_2d_int8", "depthwise_conv_2d_int8", "conv_2d_int16x8", "fully_connected_int8", "conv_2d_hybrid_int8"]


@pytest.mark.parametrize("name", SCALED)
def test_other_scales_compute_the_same(name: str, process: InterpreterProcess, tmp_path: Path) -> None:
    """As seen by the interpreter: the only thing that is lost is what coarser codes lose."""
    path = FOLDER / f"{name}.tflite"
    model = open_model(path)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        calibrated = bench_of(process, path, copy, model)
        (job,) = [job for job in calibrated.jobs.values() if isinstance(job.encoding, RescaledCodes)]
        assert isinstance(job.encoding, RescaledCodes)
        vectors, rows = job.encoding.vectors, job.encoding.place.rows
        sqnrs = []
        for sqnr in (60.0, 35.0, 25.0):
            (priced,) = calibrated.clusterer.apply_all([job], [price_at_sqnr(job, sqnr)])
            scale = np.frombuffer(copy.read_span(vectors.weight), "<f4")
            codes = np.frombuffer(copy.read_span(job.weight.span), np.int8)
            real = as_rows(codes, rows) * scale[:, None]
            np.testing.assert_allclose(priced.codes, real, rtol=1e-6)
            if vectors.bias is not None:
                assert job.layer is not None
                assert job.layer.bias is not None
                after = job.layer.bias.codes(memoryview(copy.read_span(job.layer.bias.span)))
                units = np.frombuffer(copy.read_span(vectors.bias), "<f4")
                np.testing.assert_allclose(units, scale * np.float32(vectors.input_scale), rtol=1e-6)
                error = after * units.astype(float) - real_bias(model, job.layer.bias)
                assert np.all(np.abs(error) <= units / 2 + np.sqrt(np.mean(real_bias(model, job.layer.bias) ** 2)) / 15)
            sqnrs.append(measure(calibrated).sqnr)
        assert len(np.unique(scale)) < len(scale) / 2
        assert sqnrs[0] > sqnrs[1] > sqnrs[2] > LEAST.get(name, 12)
        assert sqnrs[0] > 30
        calibrated.restore()
        assert not copy.spans
        assert copy.read() == path.read_bytes()


def test_scales_and_bias_come_back_together_where_inputs_were_not_seen(
    process: InterpreterProcess, tmp_path: Path
) -> None:
    model = open_model(INT8)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        (job,) = bench_of(process, INT8, copy, model).jobs.values()
        unseen = replace(job, matrix=replace(job.matrix, feedback=None, mean=None, input_power=None))
        clusterer = Clusterer(model, copy, threads=1)
        clusterer.apply_all([unseen], [price_at_sqnr(job, 20)])
        assert len(copy.spans) == 2 + len(job.encoding.spans)
        clusterer.apply_all([unseen], [price_at_sqnr(job, 120)])
        assert copy.read() == INT8.read_bytes()


def test_outputs_that_are_not_finite_leave_weights_next_to_what_they_are(calibrated: CalibratedModel) -> None:
    jobs = list(calibrated.jobs.values())
    for value in (math.nan, math.inf):
        prices = base_prices(jobs, np.full(len(jobs), value))
        assert np.all(prices > 0)
        calibrated.clusterer.apply_all(jobs, prices.tolist())
        assert measure(calibrated).sqnr > 80


def test_tensors_that_show_no_effect_keep_30_db(calibrated: CalibratedModel) -> None:
    jobs = list(calibrated.jobs.values())
    found = calibrated.clusterer.apply_all(jobs, base_prices(jobs, np.zeros(len(jobs))).tolist())
    for job, priced in zip(jobs, found, strict=True):
        assert priced.error == 0 or 10 * math.log10(job.matrix.power / priced.error) > 25


def test_the_floor_is_how_other_kernels_differ(calibrated: CalibratedModel) -> None:
    assert calibrated.floor.sqnr > 20


@pytest.mark.parametrize(("path", "samples"), [(DIGITS, 2), (INT8, 10)])
def test_a_short_run_measures_a_negligible_floor_on_two_samples(
    process: InterpreterProcess, tmp_path: Path, path: Path, samples: int
) -> None:
    model = open_model(path)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        effort = Effort(10**6, budget=BUDGETS["fast"])
        calibrated = calibrate(task_of(model, path, copy), process, samples_of(process, path), effort=effort)
        judge = calibrated.judge
        assert calibrated.floor == judge.noise_floor(judge.first(samples))


def test_a_model_without_inputs_can_be_searched(process: InterpreterProcess, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(dense_of_a_constant())
    model = open_model(path)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        calibrated = bench_of(process, path, copy, model)
        found = search(calibrated, lambda point: point.quality.sqnr > 20)
    assert calibrated.observer.count == 1
    assert found.chosen is not None


def test_feedback_between_rows_lowers_the_error_of_the_output(process: InterpreterProcess, tmp_path: Path) -> None:
    model = open_model(DIGITS)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        calibrated = bench_of(process, DIGITS, copy, model)
        feedbacks = [job.matrix.feedback for job in calibrated.jobs.values()]
        assert any(feedback is not None and feedback.coupling is not None for feedback in feedbacks)
        errors = []
        for uncoupled in (False, True):
            jobs = [_uncoupled(job) if uncoupled else job for job in calibrated.jobs.values()]
            total = 0.0
            for count in (6, 8, 12, 16):
                calibrated.clusterer.apply_count([replace(job, clusters=count) for job in jobs])
                quality = calibrated.judge.measure(calibrated.copy, calibrated.split.held_out)
                total += 10 ** (-quality.held_out_sqnr / 10)
            errors.append(total)
    assert errors[0] < 0.9 * errors[1]


def _uncoupled(job: Job) -> Job:
    feedback = job.matrix.feedback
    return (
        job if feedback is None else replace(job, matrix=replace(job.matrix, feedback=replace(feedback, coupling=None)))
    )


def test_a_model_that_puts_out_nothing_can_be_searched(process: InterpreterProcess, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(convolution((1, 4, 4, 3), (8, 5, 5, 3), (1, 0, 0, 8)))  # the kernel does not fit
    model = open_model(path)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        found = search(bench_of(process, path, copy, model), lambda point: point.quality.distortion == 0)
    assert found.chosen is not None
