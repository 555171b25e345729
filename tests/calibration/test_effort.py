"""What a model is worth: cheap ones get more samples, and those with slow kernels fewer."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from support.fixture_models import FOLDER

from tflite_cluster.calibration.effort import BUDGETS, NORMAL, Effort
from tflite_cluster.config import Config, EffortName
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select


def effort(name: str) -> Effort:
    model = open_model(FOLDER / f"{name}.tflite")
    return Effort.of(model, select(model)[0])


def test_a_run_takes_what_its_weights_take_at_all_places() -> None:
    (convolution,) = select(open_model(FOLDER / "conv_2d_float32.tflite"))[0]
    assert effort("conv_2d_float32").per_run - effort("fully_connected_float32").per_run == pytest.approx(
        convolution.count * 8 * 8 - 48 * 32
    )


def test_int16_activations_have_slow_kernels() -> None:
    multiplications = 3 * 3 * 8 * 16 * 8 * 8
    assert effort("conv_2d_float32").per_run < 10 * multiplications < effort("conv_2d_int16x8").per_run


def test_weights_of_which_only_some_are_stored_are_multiplied_all_the_same() -> None:
    multiplications = 40 * 64
    operators = len(open_model(FOLDER / "sparse_densify_float32.tflite").subgraphs[0].operators)
    assert effort("sparse_densify_float32").per_run == operators * 100_000 + multiplications


def test_an_operator_that_lacks_operands_does_no_harm() -> None:
    model = open_model(FOLDER / "transpose_conv_float32.tflite")
    (weight,) = select(model)[0]
    (user,) = weight.users
    cut = replace(user, operator=replace(user.operator, inputs=user.operator.inputs[:2]))
    assert Effort.of(model, [replace(weight, users=(cut,))]).per_run >= Effort.of(model, [weight]).per_run


def test_models_that_are_opened_for_every_run_are_dear() -> None:
    assert effort("resource_variable_float32").per_run > 10 * effort("batch_matmul_float32").per_run


@pytest.mark.parametrize("per_run", [1, 10**6, 10**9, 10**15])
def test_dear_models_get_fewer_samples_but_some(per_run: int) -> None:
    cheap, dear = Effort(per_run), Effort(10 * per_run)
    assert 2 <= dear.sensitivity_samples(30) <= cheap.sensitivity_samples(30) <= 200
    assert 8 <= dear.gradient_samples <= cheap.gradient_samples <= 160
    assert 64 <= dear.samples <= cheap.samples <= 1000
    assert 0 <= dear.pass_samples(10) <= cheap.pass_samples(10) <= 400


def test_layers_are_clustered_in_order_on_enough_samples_or_not_at_all() -> None:
    counts = [Effort(per_run).pass_samples(10) for per_run in (10**6, 10**8, 150_000_000, 10**9)]
    assert counts == [400, 400, 266, 0]


def test_a_measurement_counts_only_where_a_run_is_far_slower_than_it_should_be() -> None:
    model = open_model(FOLDER / "conv_2d_float32.tflite")
    weights = select(model)[0]
    per_run = Effort.of(model, weights).per_run
    expected = per_run / 5e10 + 2e-4
    assert {Effort.of(model, weights, share * expected).slowness for share in (0, 0.01, 0.5, 1, 2.9)} == {1}
    assert [Effort.of(model, weights, share * expected).slowness for share in (3.1, 11, 13, 100)] == [4, 4, 16, 64]


@pytest.mark.parametrize("per_run", [10**7, 10**8, 5 * 10**8, 2 * 10**9, 10**10])
@pytest.mark.parametrize("weights", [3, 30, 100])
def test_the_plan_ends_in_about_two_minutes_of_two_processors(per_run: int, weights: int) -> None:
    effort = Effort(per_run)
    candidates = 10 * effort.samples
    runs = candidates + 2 * weights * effort.sensitivity_samples(weights) + 5 * effort.gradient_samples
    passes = 6 * weights * effort.pass_samples(weights)
    assert (runs + passes) * per_run / 5e10 < 240


def test_large_models_may_take_longer() -> None:
    small, large = Effort(2 * 10**9, size=10**6), Effort(2 * 10**9, size=60 * 10**6)
    assert (small.samples, large.samples) == (100, 300)


def test_what_is_left_out_is_said() -> None:
    assert Effort(10**6).left_out(300, 10, 10) == ()
    (words,) = Effort(5 * 10**8, slowness=4).left_out(300, 9, 9)
    assert "100 of 300 samples" in words
    assert "4 times as long" in words
    assert "not clustered in the order" in words


def test_each_effort_has_a_budget() -> None:
    assert tuple(BUDGETS) == get_args(EffortName)
    assert BUDGETS[Config.effort] == NORMAL


@pytest.mark.parametrize("per_run", [1, 10**6, 10**8, 2 * 10**9, 10**15])
def test_more_effort_never_runs_the_model_less_often(per_run: int) -> None:
    fast, normal, thorough = (Effort(per_run, budget=budget) for budget in BUDGETS.values())
    for less, more in ((fast, normal), (normal, thorough)):
        assert less.samples <= more.samples
        assert less.sensitivity_samples(30) <= more.sensitivity_samples(30)
        assert less.gradient_samples <= more.gradient_samples
        assert less.pass_samples(10) <= more.pass_samples(10)
    assert normal == Effort(per_run)


def test_what_is_left_out_is_told_with_the_time_that_was_asked_for() -> None:
    dear = {name: Effort(5 * 10**8, slowness=64, budget=budget) for name, budget in BUDGETS.items()}
    words = {name: effort.left_out(300, 9, 9)[0] for name, effort in dear.items()}
    assert "to end in about 20 seconds" in words["fast"]
    assert "to end in about 2 minutes" in words["normal"]
    assert "to end in about 20 minutes" in words["thorough"]


def test_a_short_run_makes_up_no_more_samples_than_it_uses() -> None:
    dear = {name: Effort(3 * 10**8, budget=budget) for name, budget in BUDGETS.items()}
    assert (dear["fast"].samples, dear["fast"].synthetic_samples) == (48, 48)
    assert (dear["fast"].probes, dear["normal"].probes) == (30, 60)
    assert Effort(10**15, budget=BUDGETS["normal"]).synthetic_samples == 100


def test_a_short_run_says_how_it_is_short() -> None:
    (words,) = Effort(10**6, budget=BUDGETS["fast"]).left_out(300, 10, 10)
    assert "sensitivities are computed" in words
    assert "after two candidates" in words
