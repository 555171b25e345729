"""What a candidate must keep to be chosen, on records of what was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER

from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.groups import Groups
from tflite_cluster.model.read import open_model
from tflite_cluster.model.weight import Weight
from tflite_cluster.search.criterion import careful_sqnr, is_clean, real_criterion, synthetic_criterion
from tflite_cluster.search.encodings import Encoding, Place, RescaledCodes, SameCodes
from tflite_cluster.search.job import Job, make_job
from tflite_cluster.search.points import Point
from tflite_cluster.search.quality import Quality

CAREFUL = 28.0


def quality(
    *, expected_loss: float | None = None, held_out_sqnr: float = 40.0, scores_sqnr: float = -math.inf
) -> Quality:
    return Quality(
        distortion=0.01,
        expected_loss=expected_loss,
        agreement=None if expected_loss is None else 0.99,
        sqnr=30.0,
        held_out_sqnr=held_out_sqnr,
        held_out_sqnr_of_values=held_out_sqnr if expected_loss is None else math.inf,
        scores_sqnr=math.inf if expected_loss is None else scores_sqnr,
    )


def point(*, weight_sqnr: float = 40.0, **measured: Any) -> Point:
    return Point(multiplier=1.0, in_order=False, bits=4.0, weight_sqnr=weight_sqnr, quality=quality(**measured))


@pytest.mark.parametrize("rounding", [0.0, 0.3])
def test_by_default_little_is_at_risk_beyond_what_rounding_does(rounding: float) -> None:
    is_good = real_criterion(quality(expected_loss=rounding))
    assert is_good(point(expected_loss=rounding + 0.29))
    assert not is_good(point(expected_loss=rounding + 0.31))


@pytest.mark.parametrize("rounding", [0.31, 0.92, 5.0, math.inf])
def test_rounding_never_explains_more_than_so_much_expected_loss(rounding: float) -> None:
    is_good = real_criterion(quality(expected_loss=rounding, held_out_sqnr=12.0))
    assert is_good(point(expected_loss=0.59, held_out_sqnr=12.1))
    assert not is_good(point(expected_loss=0.61, held_out_sqnr=12.1))


def test_expected_loss_of_synthetic_inputs_is_seen_beside_all_of_the_floor() -> None:
    is_good = synthetic_criterion(quality(expected_loss=0.86, held_out_sqnr=math.inf, scores_sqnr=math.inf), CAREFUL)
    assert is_good(point(expected_loss=1.15, held_out_sqnr=12.1, weight_sqnr=CAREFUL + 0.1))
    assert not is_good(point(expected_loss=1.17, held_out_sqnr=12.1, weight_sqnr=CAREFUL + 0.1))


@given(
    floor_loss=st.none() | st.floats(0, 100),
    floor_sqnr=st.floats(-20, 150) | st.just(math.inf),
    expected_loss=st.floats(0, 100),
    held_out_sqnr=st.floats(-20, 11.99),
    scores_sqnr=st.floats(-20, 100),
    weight_sqnr=st.floats(0, 100),
)
def test_rounding_never_excuses_outputs_that_are_mostly_noise(
    floor_loss: float | None,
    floor_sqnr: float,
    expected_loss: float,
    held_out_sqnr: float,
    scores_sqnr: float,
    weight_sqnr: float,
) -> None:
    floor = quality(expected_loss=floor_loss, held_out_sqnr=floor_sqnr, scores_sqnr=floor_sqnr)
    tried = point(
        expected_loss=None if floor_loss is None else expected_loss,
        held_out_sqnr=held_out_sqnr,
        scores_sqnr=scores_sqnr,
        weight_sqnr=weight_sqnr,
    )
    assert not real_criterion(floor)(tried)
    assert not synthetic_criterion(floor, CAREFUL)(tried)


@pytest.mark.parametrize(("lost", "is_kept"), [(30, True), (60, False)])
def test_a_candidate_that_the_check_would_refuse_is_not_chosen(lost: int, is_kept: bool) -> None:
    """Labels may show a loss that was not expected: 0.8 +- 0.3 points of 2,000 samples, or 2.3 +- 0.4."""
    accuracy = Accuracy("y", samples=2_000, right_before=1_800, right_after=1_800 - lost + 14, lost=lost, gained=14)
    measured = point(expected_loss=0.1)
    tried = replace(measured, quality=replace(measured.quality, accuracy=accuracy))
    assert real_criterion(quality(expected_loss=0.0))(tried) == is_kept


@pytest.mark.parametrize("rounding", [math.inf, 20.0])
@pytest.mark.parametrize(("measure", "limit"), [("scores_sqnr", 22.5), ("held_out_sqnr", 18.0)])
def test_class_scores_must_show_small_errors_beside_what_rounding_does(
    measure: str, limit: float, rounding: float
) -> None:
    """On probes, and on the samples; then their expected loss does not count."""
    is_good = synthetic_criterion(quality(expected_loss=5.0, **{"scores_sqnr": rounding, measure: rounding}), CAREFUL)
    allowed = 10 ** (-limit / 10) + 10 ** (-rounding / 10)

    def holds(error: float, weight_sqnr: float = 27.0) -> bool:
        measured = {"scores_sqnr": 60.0, measure: -10 * math.log10(error)}
        return is_good(point(expected_loss=100.0, weight_sqnr=weight_sqnr, **measured))

    assert holds(0.99 * allowed)
    assert not holds(1.01 * allowed)
    assert not holds(0.1 * allowed, weight_sqnr=13.9)


@given(
    scores_sqnr=st.floats(-20, 100),
    weight_sqnr=st.floats(0, 100),
    held_out_sqnr=st.floats(-20, 100),
    worse=st.floats(0, 50),
)
def test_a_noisier_candidate_is_never_good_where_one_with_less_noise_is_not(
    scores_sqnr: float, weight_sqnr: float, held_out_sqnr: float, worse: float
) -> None:
    is_good = synthetic_criterion(quality(expected_loss=0.1, scores_sqnr=30.0), CAREFUL)

    def holds(noise: float) -> bool:
        measured = {"scores_sqnr": scores_sqnr - noise, "held_out_sqnr": held_out_sqnr - noise}
        return is_good(point(expected_loss=100.0, weight_sqnr=weight_sqnr - noise, **measured))

    assert holds(0.0) or not holds(worse)


@pytest.mark.parametrize(("rounding", "least"), [(math.inf, 26.0), (20.0, 20.0)])
def test_other_outputs_of_synthetic_inputs_must_show_small_errors_and_weights_close_to_what_they_were(
    rounding: float, least: float
) -> None:
    is_good = synthetic_criterion(quality(held_out_sqnr=rounding), CAREFUL)
    assert is_good(point(held_out_sqnr=least + 0.1, weight_sqnr=CAREFUL + 0.1))
    assert not is_good(point(held_out_sqnr=least - 0.1, weight_sqnr=CAREFUL + 0.1))
    assert not is_good(point(held_out_sqnr=least + 0.1, weight_sqnr=CAREFUL - 0.1))


def test_weights_close_to_what_they_were_make_little_expected_loss_enough_on_synthetic_inputs() -> None:
    is_good = synthetic_criterion(quality(expected_loss=0.1, held_out_sqnr=math.inf, scores_sqnr=math.inf), CAREFUL)
    assert is_good(point(expected_loss=0.39, held_out_sqnr=15.0, weight_sqnr=CAREFUL + 0.1))
    assert not is_good(point(expected_loss=0.41, held_out_sqnr=15.0, weight_sqnr=CAREFUL + 0.1))
    assert not is_good(point(expected_loss=0.39, held_out_sqnr=15.0, weight_sqnr=CAREFUL - 0.1))


def jobs_of(name: str, *, rescaled: bool) -> list[Job]:
    model = open_model(FOLDER / f"{name}.tflite")
    analysis = analyse(model)

    def encode(weight: Weight, rows: Groups) -> Encoding:
        place = Place(weight, rows)
        vectors = analysis.scale_vectors(weight) if rescaled else None
        return SameCodes(place) if vectors is None else RescaledCodes(place, vectors)

    return [make_job(model, weight, encode) for weight in analysis.weights]


@pytest.mark.parametrize(
    ("name", "rescaled", "least"),
    [("conv_2d_float32", False, 26.0), ("conv_2d_int8", True, 28.0), ("conv_2d_int8", False, 34.0)],
)
def test_integers_that_keep_their_scales_must_be_closer_to_what_they_were(
    name: str, rescaled: bool, least: float
) -> None:
    assert careful_sqnr(jobs_of(name, rescaled=rescaled)) == least


@pytest.mark.parametrize(
    ("measured", "clean"),
    [
        ({"held_out_sqnr": 30.1}, True),
        ({"held_out_sqnr": 29.9}, False),
        ({"expected_loss": 0.04, "held_out_sqnr": 20.0}, True),
        ({"expected_loss": 0.06, "held_out_sqnr": 20.0}, False),
        ({"expected_loss": 0.06, "held_out_sqnr": 30.1}, True),
    ],
    ids=str,
)
def test_clean_is_next_to_no_change(measured: dict[str, float], clean: bool) -> None:
    assert is_clean(quality(**measured)) == clean


def test_class_scores_do_not_excuse_other_outputs() -> None:
    """A model that gives classes and boxes."""
    is_good = real_criterion(quality(expected_loss=0.0, held_out_sqnr=40.0))
    mixed = replace(quality(expected_loss=0.1, held_out_sqnr=25.0), held_out_sqnr_of_values=25.0)
    assert is_good(replace(point(), quality=mixed))
    assert not is_good(replace(point(), quality=replace(mixed, held_out_sqnr_of_values=19.0)))
    assert not is_clean(replace(mixed, expected_loss=0.01))
