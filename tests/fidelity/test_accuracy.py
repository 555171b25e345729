from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.fidelity.accuracy import Accuracy, chance_level, drop_bound_points, paired_error_points

Classes = np.ndarray


def measured(before: Classes, after: Classes, labels: Classes, classes: int = 10) -> Accuracy:
    return Accuracy.of("scores", before, after, labels, classes)


def labelled(samples: int, right: float, seed: int = 0, classes: int = 10) -> tuple[Classes, Classes]:
    """Labels, and the classes of a model that names the right one so often."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, samples)
    wrong = (labels + generator.integers(1, classes, samples)) % classes
    return labels, np.where(generator.random(samples) < right, labels, wrong)


def test_changes_are_counted_each_way() -> None:
    labels = np.arange(10)
    before, after = labels.copy(), labels.copy()
    before[0], after[[1, 2]] = 5, 5
    found = measured(before, after, labels)
    assert (found.right_before, found.right_after, found.lost, found.gained) == (9, 8, 2, 1)
    assert (found.drop_points, found.change_points) == (pytest.approx(10), pytest.approx(-10))


@given(lost=st.integers(0, 40), gained=st.integers(0, 40), same=st.integers(2, 500))
def test_the_standard_error_is_that_of_paired_samples(lost: int, gained: int, same: int) -> None:
    values = np.repeat([1.0, -1.0, 0.0], [lost, gained, same])
    expected = 100 * values.std(ddof=1) / math.sqrt(len(values))
    assert paired_error_points(lost, gained, len(values)) == pytest.approx(expected)


def test_a_change_within_two_standard_errors_is_chance() -> None:
    labels, before = labelled(1000, 0.9)
    after = before.copy()
    right = np.flatnonzero(before == labels)
    after[right[:3]] = (labels[right[:3]] + 1) % 10
    assert measured(before, after, labels).is_within_chance
    after[right[:20]] = (labels[right[:20]] + 1) % 10
    assert not measured(before, after, labels).is_within_chance


@pytest.mark.parametrize(("samples", "proves"), [(60, False), (150, False), (200, True), (500, True)])
def test_no_change_on_few_samples_proves_little(samples: int, proves: bool) -> None:
    assert (drop_bound_points(0, 0, samples, 95) <= 1) == proves


@given(lost=st.integers(0, 30), gained=st.integers(0, 30), same=st.integers(10, 500), confidence=st.floats(51, 99.9))
def test_the_bound_lies_above_what_was_lost_and_grows_with_confidence(
    lost: int, gained: int, same: int, confidence: float
) -> None:
    samples = lost + gained + same
    bound = drop_bound_points(lost, gained, samples, confidence)
    shrunk = 100 * (lost - gained) / (samples + 2)
    assert bound >= shrunk
    assert drop_bound_points(lost, gained, samples, 99.95) > bound


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Drawn many times from known shares of samples that change each way."""
    generator = np.random.default_rng(0)
    draws = generator.multinomial(400, [0.02, 0.01, 0.97], size=2000)
    bounds = np.array([drop_bound_points(int(lost), int(gained), 400, 95) for lost, gained, _ in draws])
    assert np.mean(bounds >= 1.0) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("right", [0.5, 0.9, 1.0])
def test_an_original_that_knows_its_classes_is_not_doubted(right: float) -> None:
    labels, before = labelled(60, right)
    assert measured(before, before, labels).doubt is None


@pytest.mark.parametrize("seed", range(5))
def test_guessing_is_doubted(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, before = generator.integers(0, 10, 30), generator.integers(0, 10, 30)
    before[before == labels] = (labels[before == labels] + 1) % 10
    doubt = measured(before, before, labels).doubt
    assert doubt is not None
    assert "preprocessed" in doubt


@pytest.mark.parametrize(("shift", "remedy"), [(1, "add 1"), (-1, "subtract 1")])
def test_labels_that_count_from_another_number_are_recognised(shift: int, remedy: str) -> None:
    labels, before = labelled(100, 0.8, classes=1000)
    doubt = measured(before + shift, before + shift, labels, 1001).doubt
    assert doubt is not None
    assert remedy in doubt


def test_one_class_for_all_samples_is_doubted_however_many_have_it() -> None:
    labels = np.repeat([0, 1], [90, 10])
    assert "one class" in (measured(np.zeros(100, int), np.zeros(100, int), labels).doubt or "")


def test_labels_of_one_class_are_compared_with_guessing_among_all() -> None:
    labels = np.full(50, 3)
    assert measured(labels, labels, labels, 10).doubt is None
    assert chance_level(labels, labels, 10) == 0.1


def test_a_few_samples_are_told_from_guessing_only_if_nearly_all_are_right() -> None:
    two, six = np.arange(2), np.arange(6)
    assert "so few" in (measured(two, two, two).doubt or "")
    assert measured(six, six, six).doubt is None


@pytest.mark.parametrize("changed", [0, 3])
def test_no_change_has_no_sign(changed: int) -> None:
    found = Accuracy("scores", 10, 5, 5, lost=changed, gained=changed)
    assert f"{found.change_points:+.1f} {found.drop_points:+.1f}" == "+0.0 +0.0"
