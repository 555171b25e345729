from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.fidelity.gates import Gates
from tflite_cluster.fidelity.judge import judge
from tflite_cluster.fidelity.verdict import Fidelity, NoiseFloor, OutputFidelity, Score, Status, Verdict


def output(name: str = "y", *, real: bool = True, sqnr: float | None = 40.0, agreement: float | None = 0.99):
    rmse = 0.1 if real else None
    return OutputFidelity(None, name, 100, real, sqnr_db=sqnr, rmse=rmse, agreement=agreement, note=None)


def checked(*outputs: OutputFidelity, accuracy: Accuracy | None = None) -> Fidelity:
    return Fidelity("checked", basis="100 samples", outputs=outputs or (output(),), accuracy=accuracy)


def dropped(hits: int) -> Accuracy:
    lost, gained = max(900 - hits, 0), max(hits - 900, 0)
    return Accuracy("y", 1000, right_before=900, right_after=hits, lost=lost, gained=gained)


LIMITS = {"min_agreement": 99.0, "min_sqnr": 40.0, "max_drop": 1.0}


def test_gates_that_hold_pass_with_the_numbers():
    fidelity = judge(checked(accuracy=dropped(890)), Gates(**LIMITS))
    assert fidelity.passed
    assert [(gate.gate, gate.limit) for gate in fidelity.gates] == [
        ("min-agreement", 99.0),
        ("min-sqnr", 40.0),
        ("max-drop", 1.0),
    ]
    assert [gate.measured for gate in fidelity.gates] == [99.0, 40.0, pytest.approx(1.0)]


@pytest.mark.parametrize(
    ("gate", "fidelity"),
    [
        ("min_agreement", checked(output(agreement=0.98))),
        ("min_agreement", checked(output(agreement=math.nan))),
        ("min_sqnr", checked(output(sqnr=39.9))),
        ("min_sqnr", checked(output(sqnr=-math.inf))),
        ("min_sqnr", checked(output(sqnr=math.nan))),
        ("max_drop", checked(accuracy=dropped(889))),
    ],
)
def test_each_gate_trips(gate: str, fidelity: Fidelity):
    judged = judge(fidelity, Gates(**{gate: LIMITS[gate]}))
    assert [outcome.passed for outcome in judged.gates] == [False]
    assert not judged.passed


def test_the_worst_output_counts():
    outputs = (output("a", sqnr=math.inf, agreement=1.0), output("b", sqnr=20.0, agreement=0.5), output("c"))
    agreement, sqnr = judge(checked(*outputs), Gates(min_agreement=90, min_sqnr=30)).gates
    assert (agreement.measured, sqnr.measured) == (50.0, 20.0)
    assert "of b" in agreement.why
    assert "of b" in sqnr.why


def test_whole_numbers_have_no_sqnr_and_do_not_spoil_that_of_others():
    assert judge(checked(output(), output("n", real=False, sqnr=None)), Gates(min_sqnr=40)).passed
    assert not judge(checked(output("n", real=False, sqnr=None)), Gates(min_sqnr=40)).passed


def test_an_output_without_a_measure_fails_the_gate():
    (gate,) = judge(checked(output(), output("n", sqnr=None)), Gates(min_sqnr=1)).gates
    assert (gate.passed, gate.measured) == (False, None)
    assert "cannot be measured" in gate.why


@pytest.mark.parametrize("status", ["not checked", "broken", "skipped"])
@pytest.mark.parametrize("gate", list(LIMITS))
def test_a_gate_that_cannot_be_measured_fails(status: Status, gate: str):
    judged = judge(Fidelity(status, "it crashes"), Gates(**{gate: 0.0}))
    assert [outcome.passed for outcome in judged.gates if outcome.gate != "runs"] == [False]
    assert not judged.passed


@pytest.mark.parametrize("gate", ["min_agreement", "max_drop"])
def test_gates_on_classes_fail_where_there_are_none(gate: str):
    (outcome,) = judge(checked(output(agreement=None)), Gates(**{gate: 0.0})).gates
    assert (outcome.passed, outcome.measured) == (False, None)


def test_a_gain_in_accuracy_is_no_drop():
    assert judge(checked(accuracy=dropped(950)), Gates(max_drop=0)).passed


def test_a_drop_at_the_limit_passes_in_spite_of_rounding():
    accuracy = Accuracy("y", 3000, right_before=2664, right_after=2661, lost=3, gained=0)
    assert accuracy.drop_points == pytest.approx(0.1)
    assert judge(checked(accuracy=accuracy), Gates(max_drop=0.1)).passed


@pytest.mark.parametrize(("status", "passed"), [("not checked", True), ("skipped", True), ("broken", False)])
def test_without_gates_only_a_broken_model_fails(status: Status, passed: bool):
    assert judge(Fidelity(status, "because"), Gates()).passed == passed
    assert Fidelity(status, "because").passed == passed


def silent(name: str = "y", *, chosen: bool = False) -> OutputFidelity:
    return replace(output(name, sqnr=None, agreement=None), varies=False, chosen=chosen)


DOUBTED = Accuracy("y", 100, right_before=1, right_after=1, lost=0, gained=0, chance=0.01, doubt="labels are wrong")


@pytest.mark.parametrize(
    ("fidelity", "verdict"),
    [
        (checked(accuracy=dropped(898)), "verified"),
        (replace(checked(), score=Score("mAP", 0.5, 0.5)), "verified"),
        (checked(), "close"),
        (checked(accuracy=DOUBTED), "close"),
        (replace(checked(), synthetic=True), "plausible"),
        (checked(silent()), "unknown"),
        (checked(output("a"), silent("b")), "unknown"),
        (checked(output("a"), silent("count", chosen=True)), "close"),
        (checked(silent("count", chosen=True)), "unknown"),
        (checked(output("a"), replace(silent("count"), real=False)), "close"),
        (checked(replace(silent("class"), real=False)), "unknown"),
        (Fidelity("not checked", "it crashes"), "unknown"),
        (Fidelity("skipped"), "unknown"),
        (Fidelity("broken", "it crashes"), "degraded"),
        (checked(output(sqnr=9.9)), "degraded"),
        (checked(replace(output(sqnr=-3.0), chosen=True), output("scores")), "close"),
        (checked(accuracy=dropped(870)), "degraded"),
    ],
)
def test_the_verdict_is_one_word(fidelity: Fidelity, verdict: Verdict):
    assert fidelity.verdict == verdict


@pytest.mark.parametrize(
    ("fidelity", "gates", "verdict"),
    [
        (checked(output(sqnr=6.0)), Gates(min_sqnr=5), "close"),
        (checked(accuracy=dropped(870)), Gates(max_drop=5), "verified"),
        (checked(accuracy=dropped(870)), Gates(max_drop=1), "degraded"),
        (checked(output(agreement=0.5)), Gates(min_agreement=90), "degraded"),
        (checked(silent()), Gates(min_sqnr=0), "unknown"),
        (checked(accuracy=DOUBTED), Gates(max_drop=1), "unknown"),
    ],
)
def test_gates_take_the_place_of_the_limits_that_hold_without_them(fidelity: Fidelity, gates: Gates, verdict: Verdict):
    assert judge(fidelity, gates).verdict == verdict


def test_limits_that_hold_without_gates_are_named():
    (sqnr,) = checked(replace(output(sqnr=6.0), slice="index 3 of axis 1")).below_limits
    assert (sqnr.gate, sqnr.measured, sqnr.passed) == ("min-sqnr", 6.0, False)
    assert "y, index 3 of axis 1" in sqnr.why
    (drop,) = checked(accuracy=dropped(870)).below_limits
    assert (drop.gate, drop.measured) == ("max-drop", pytest.approx(3.0))
    assert checked(accuracy=Accuracy("y", 100, 90, 88, lost=4, gained=2)).below_limits == ()


def test_confidence_asks_for_more_samples():
    few = checked(accuracy=Accuracy("y", 60, 50, 50, lost=0, gained=0))
    many = checked(accuracy=Accuracy("y", 600, 500, 500, lost=0, gained=0))
    assert judge(few, Gates(max_drop=1)).passed
    assert not judge(few, Gates(max_drop=1, confidence=95)).passed
    assert judge(many, Gates(max_drop=1, confidence=95)).passed


def test_a_low_floor_is_pointed_out():
    floor = NoiseFloor(8, (output(sqnr=14.6),))
    assert replace(checked(), noise_floor=floor).low_floor == 14.6
    assert replace(checked(), noise_floor=NoiseFloor(8, (output(sqnr=40.0),))).low_floor is None
