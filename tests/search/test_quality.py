from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.search.quality import Outputs, Quality, compare_outputs

Floats = np.ndarray


def compare(
    before: Floats, after: Floats, *, logits: bool = True, labels: Floats | None = None, unseen: Floats | None = None
) -> Quality:
    return compare_outputs([outputs(before, after, logits=logits, labels=labels, unseen=unseen)])


def outputs(
    before: Floats,
    after: Floats,
    *,
    logits: bool = True,
    labels: Floats | None = None,
    unseen: Floats | None = None,
    slices: Floats | None = None,
) -> Outputs:
    every = np.ones(len(before), bool)
    whole = np.zeros(before.shape[1], int)
    return Outputs(
        before, after, logits, labels, every if unseen is None else unseen, whole if slices is None else slices
    )


def scores(samples: int = 400, classes: int = 10, seed: int = 0, spread: float = 2.0) -> Floats:
    return spread * np.random.default_rng(seed).standard_normal((samples, classes))


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_same_outputs_are_perfect() -> None:
    before = scores()
    assert compare(before, before) == Quality(0.0, 0.0, 1.0, math.inf)
    assert compare(before, before, logits=False) == Quality(0.0, None, None, math.inf)


def test_divergence_is_that_of_the_probabilities() -> None:
    before, after = scores(), scores() + 0.3 * scores(seed=1)
    p, q = softmax(before), softmax(after)
    assert compare(before, after).distortion == pytest.approx(np.mean(np.sum(p * np.log(p / q), axis=1)))


def test_a_shift_of_all_scores_changes_no_probability() -> None:
    before = scores()
    quality = compare(before, before + 7)
    assert quality.distortion == pytest.approx(0, abs=1e-12)
    assert quality.expected_loss == pytest.approx(0, abs=1e-9)
    assert quality.agreement == 1


def test_huge_scores_do_not_overflow() -> None:
    before = 1e5 * scores()
    quality = compare(before, before + scores(seed=1))
    assert math.isfinite(quality.distortion)
    assert math.isfinite(quality.expected_loss or 0)


def test_agreement_counts_samples() -> None:
    before = np.eye(4)[[0, 1, 2, 3]]
    after = np.eye(4)[[0, 1, 2, 0]]
    assert compare(before, after).agreement == 0.75


@pytest.mark.parametrize("error", [0.05, 0.3, 1.0])
def test_risk_foretells_the_accuracy_lost_to_errors_at_random(error: float) -> None:
    """Labels drawn from the original's own scores, noise of the same size drawn anew: many times over."""
    generator = np.random.default_rng(1)
    before = scores(2000)
    foretold = compare(before, before + error * generator.standard_normal(before.shape)).expected_loss
    truth = softmax(before)
    kept = truth[np.arange(len(before)), before.argmax(1)]
    losses = []
    for _ in range(40):
        chosen = (before + error * generator.standard_normal(before.shape)).argmax(1)
        losses.append(100 * np.mean(kept - truth[np.arange(len(before)), chosen]))
    # Only the runner-up is reckoned with, so that large errors cost more than that, and never much less.
    assert foretold == pytest.approx(np.mean(losses), rel=0.25 if error < 0.5 else 0.5)


def test_errors_on_samples_that_were_seen_do_not_hide_the_risk() -> None:
    """The candidate fits the first half of the samples perfectly."""
    before, noise = scores(), 0.3 * scores(seed=3)
    unseen = np.arange(len(before)) >= len(before) // 2
    fitted = before + noise * unseen[:, None]
    everywhere = compare(before, before + noise).expected_loss
    assert compare(before, fitted, unseen=unseen).expected_loss == pytest.approx(everywhere, rel=0.1)
    assert (compare(before, fitted).expected_loss or 0) < 0.7 * (everywhere or 0)


def test_held_out_sqnr_is_relative_to_how_much_an_output_varies() -> None:
    generator = np.random.default_rng(0)
    before = 100 + generator.standard_normal((500, 20))
    after = before + 0.1 * generator.standard_normal(before.shape)
    quality = compare(before, after, logits=False)
    assert quality.held_out_sqnr == pytest.approx(20, abs=0.3)
    assert quality.sqnr == pytest.approx(20, abs=0.3)
    assert quality.distortion == pytest.approx(0.01, rel=0.1)


def test_an_output_that_never_varies_is_compared_by_its_size() -> None:
    before = np.full((10, 3), 5.0)
    quality = compare(before, before * 1.01, logits=False)
    assert (quality.held_out_sqnr, quality.sqnr) == pytest.approx((40, 40), abs=0.1)
    zero = np.zeros((10, 3))
    assert compare(zero, zero + 0.1, logits=False).held_out_sqnr == pytest.approx(20)
    assert compare(zero, zero, logits=False).sqnr == math.inf


def test_sqnr_of_scores_is_that_of_the_probabilities() -> None:
    before, after = scores(), scores() + 0.3 * scores(seed=1)
    p, q = softmax(before), softmax(after)
    assert compare(before, after).sqnr == pytest.approx(
        10 * math.log10(np.sum((p - p.mean(0)) ** 2) / np.sum((p - q) ** 2))
    )


def test_the_worst_output_counts_and_distortions_are_averaged() -> None:
    good, bad = scores(), scores(seed=1)
    noise = scores(seed=2) * 0.1
    single = [compare(before, before + noise * scale) for before, scale in ((good, 1), (bad, 4))]
    both = compare_outputs([outputs(good, good + noise), outputs(bad, bad + 4 * noise)])
    assert both.sqnr == single[1].sqnr
    assert both.expected_loss == single[1].expected_loss
    assert both.agreement == single[1].agreement
    assert both.distortion == pytest.approx((single[0].distortion + single[1].distortion) / 2)


def test_the_worst_slice_counts_however_small_its_values() -> None:
    """Boxes of hundreds of pixels beside scores below 1."""
    generator = np.random.default_rng(0)
    boxes, marks = 100 * generator.standard_normal((300, 4)), generator.random((300, 20))
    before = np.hstack([boxes, marks])
    after = before + 0.2 * marks.std() * generator.standard_normal(before.shape)
    slices = np.repeat([1, 0], [4, 20])
    alone = compare(marks, after[:, 4:], logits=False)
    apart = compare_outputs([outputs(before, after, logits=False, slices=slices)])
    assert (apart.sqnr, apart.held_out_sqnr) == pytest.approx((alone.sqnr, alone.held_out_sqnr))
    assert apart.held_out_sqnr_of_values == apart.held_out_sqnr
    assert compare(before, after, logits=False).sqnr > apart.sqnr + 20


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("logits", [False, True])
def test_outputs_that_are_not_finite_are_the_worst_there_is(bad: float, logits: bool) -> None:
    before = scores()
    after = before.copy()
    after[3, 2] = bad
    quality = compare(before, after, logits=logits)
    assert quality.distortion == math.inf
    assert quality.sqnr == -math.inf
    assert (quality.expected_loss, quality.agreement) == ((math.inf, 0.0) if logits else (None, None))


def test_labels_tell_what_accuracy_was_really_lost() -> None:
    before = np.eye(4)[[0, 1, 2, 3]]
    after = np.eye(4)[[0, 1, 0, 0]]
    assert compare(before, after, labels=np.array([0, 1, 2, 0])).drop == pytest.approx(75 - 75)
    assert compare(before, after, labels=np.array([0, 1, 2, 3])).drop == pytest.approx(50)
    assert compare(before, after).drop is None


def test_a_single_score_is_no_choice_of_classes() -> None:
    quality = compare(scores(classes=1), scores(classes=1, seed=1))
    assert (quality.expected_loss, quality.agreement) == (None, None)


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_any_number_of_classes(classes: int) -> None:
    before = scores(50, classes)
    quality = compare(before, before + 0.01 * scores(50, classes, seed=1))
    assert quality.expected_loss is not None
    assert 0 <= quality.expected_loss < 1


def test_held_out_sqnr_is_that_of_samples_not_seen_without_what_all_classes_share() -> None:
    before, noise = scores(), 0.1 * scores(seed=3)
    unseen = np.arange(len(before)) % 2 == 1
    fitted = np.where(unseen[:, None], before + noise, before)
    expected = compare(before[unseen], (before + noise)[unseen]).held_out_sqnr
    assert expected == pytest.approx(20, abs=0.5)
    assert compare(before, fitted, unseen=unseen).held_out_sqnr == pytest.approx(expected)
    brightness = 50 * scores(classes=1, seed=4)
    assert compare(before + brightness, fitted + brightness, unseen=unseen).held_out_sqnr == pytest.approx(expected)
    assert compare(before + brightness, fitted + brightness, logits=False, unseen=unseen).held_out_sqnr > 40


def test_outputs_without_elements_are_perfect() -> None:
    nothing = np.zeros((5, 0))
    assert compare(nothing, nothing, logits=False) == Quality(0.0, None, None, math.inf)


@given(size=st.floats(0.01, 2.0), growth=st.floats(1.1, 10.0), seed=st.integers(0, 99))
def test_more_noise_means_more_expected_loss_and_less_power_beside_it(size: float, growth: float, seed: int) -> None:
    before, noise = scores(seed=seed), scores(seed=seed + 100)
    less, more = (compare(before, before + factor * size * noise) for factor in (1.0, growth))
    assert (more.expected_loss or 0) > (less.expected_loss or 0)
    assert less.scores_sqnr - more.scores_sqnr == pytest.approx(20 * math.log10(growth))


def test_what_scores_have_in_common_over_all_samples_is_signal_up_to_three_times_the_rest() -> None:
    before, noise = scores(), 0.1 * scores(seed=1)
    unlike = 2.0 * np.linspace(-1, 1, before.shape[1])
    plain, apart, far, shared = (
        compare(before + offset, before + offset + noise).scores_sqnr for offset in (0, unlike, 1e3 * unlike, 7.0)
    )
    assert plain == pytest.approx(20, abs=0.2)
    assert plain + 1 < apart < far
    assert far == pytest.approx(plain + 10 * math.log10(4), abs=0.1)
    assert shared == pytest.approx(plain)


def test_the_power_of_scores_is_that_of_samples_not_seen() -> None:
    before = scores()
    unseen = np.arange(len(before)) % 4 == 0
    after = np.where(unseen[:, None], before + 0.1 * scores(seed=1), before)
    alone = compare(before[unseen], after[unseen]).scores_sqnr
    assert compare(before, after, unseen=unseen).scores_sqnr == pytest.approx(alone)
    assert compare(before, after, logits=False, unseen=unseen).scores_sqnr == math.inf
