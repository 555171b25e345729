from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tflite_cluster.fidelity.metrics import OutputComparison
from tflite_cluster.fidelity.verdict import OutputFidelity
from tflite_cluster.interpreter.interface import TensorSpec

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def comparison(
    before: list[Array], after: list[Array], *, scale: float = 0.0, zero_point: int = 0, classes: bool = False
) -> OutputComparison:
    first = before[0]
    spec = TensorSpec("y", 0, first.shape, first.shape, first.dtype, scale, zero_point)
    result = OutputComparison(None, spec, classes)
    for one, other in zip(before, after, strict=True):
        result.add(one, other)
    return result


def compare(before: list[Array], after: list[Array], **options: Any) -> OutputFidelity:
    return comparison(before, after, **options).result()


def noisy(seed: int, samples: int, *shape: int, error: float = 0.1) -> tuple[list[Array], list[Array]]:
    generator = np.random.default_rng(seed)
    before = generator.standard_normal((samples, *shape)).astype(np.float32)
    after = (before + error * generator.standard_normal(before.shape)).astype(np.float32)
    return list(before), list(after)


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_errors_are_those_of_all_samples_together():
    before, after = noisy(0, 7, 1, 4, 5)
    b, a = np.stack(before).astype(float), np.stack(after).astype(float)
    result = compare(before, after)
    assert result.samples == 7
    c, d = b - b.mean(0), a - b.mean(0)
    assert result.sqnr_db == pytest.approx(10 * np.log10(np.sum(c**2) / np.sum((a - b) ** 2)))
    assert result.raw_sqnr_db == pytest.approx(10 * np.log10(np.sum(b**2) / np.sum((a - b) ** 2)))
    assert result.cosine == pytest.approx(np.sum(c * d) / np.linalg.norm(c) / np.linalg.norm(d))
    assert result.max_abs_error == pytest.approx(np.max(np.abs(a - b)))
    assert result.rmse == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    assert (result.kl_divergence, result.agreement, result.note) == (None, None, None)


def test_quantised_outputs_are_compared_as_real_numbers():
    generator = np.random.default_rng(1)
    before = [generator.integers(-128, 128, (1, 9), dtype=np.int8) for _ in range(3)]
    after = [np.clip(codes.astype(int) + 2, -128, 127).astype(np.int8) for codes in before]
    real_before = [(codes.astype(float) - 5) * 0.25 for codes in before]
    real_after = [(codes.astype(float) - 5) * 0.25 for codes in after]
    quantised, real = compare(before, after, scale=0.25, zero_point=5), compare(real_before, real_after)
    assert quantised == real
    assert quantised.max_abs_error == 0.5


def test_class_scores_are_recognised_by_their_sum():
    before, after = (list(softmax(np.stack(logits).astype(float))) for logits in noisy(2, 50, 1, 6, error=0.5))
    result = compare(before, after)
    b, a = np.stack(before), np.stack(after)
    assert result.kl_divergence == pytest.approx(np.mean(np.sum(b * np.log(b / a), axis=-1)))
    assert result.agreement == np.mean(b.argmax(-1) == a.argmax(-1))
    assert 0 < result.agreement < 1


def test_logits_are_class_scores_only_on_request():
    before, after = noisy(3, 50, 1, 6, error=0.5)
    assert compare(before, after).agreement is None
    result = compare(before, after, classes=True)
    b, a = softmax(np.stack(before).astype(float)), softmax(np.stack(after).astype(float))
    assert result.kl_divergence == pytest.approx(np.mean(np.sum(b * np.log(b / a), axis=-1)))
    assert result.agreement == np.mean(b.argmax(-1) == a.argmax(-1))


def test_probabilities_in_8_bits_are_recognised_although_small_ones_round_to_nothing():
    probabilities = softmax(4 * np.random.default_rng(4).standard_normal((20, 1, 1001)))
    codes = list(np.round(probabilities * 256).clip(0, 255).astype(np.uint8))
    result = compare(codes, codes, scale=1 / 256)
    assert (result.agreement, result.kl_divergence) == (1.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 3), (1, 1), ()])
def test_outputs_other_than_one_vector_have_no_classes(shape: tuple[int, ...]):
    values = [np.ones(shape, np.float32)]
    assert compare(values, values, classes=True).agreement is None


def test_identical_outputs_have_infinite_sqnr():
    before, _ = noisy(5, 3, 1, 8)
    result = compare(before, before)
    assert (result.sqnr_db, result.cosine, result.max_abs_error, result.rmse) == (math.inf, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("value", [0.0, 5.0])
@pytest.mark.parametrize("error", [0.0, 1.0])
def test_an_output_that_never_varies_has_no_ratio(value: float, error: float):
    constant = [np.full((1, 4), value, np.float32)] * 9
    result = compare(constant, [sample + np.float32(error) for sample in constant])
    assert (result.varies, result.sqnr_db, result.cosine, result.max_abs_error) == (False, None, None, error)


def test_rounding_is_no_variation():
    generator = np.random.default_rng(0)
    constant = [np.float32(3) * (1 + 1e-7 * generator.standard_normal((1, 4))).astype(np.float32) for _ in range(20)]
    assert not compare(constant, constant).varies


@pytest.mark.parametrize(("different", "varies"), [(1, False), (2, False), (4, True)])
def test_a_few_samples_that_differ_do_not_make_a_signal(different: int, varies: bool):
    before = [np.zeros((1, 4), np.float32) for _ in range(100)]
    for number in range(different):
        before[number] = before[number] + 1
    assert compare(before, before).varies == varies


def test_a_single_sample_shows_no_difference_but_two_do():
    before, after = noisy(0, 2, 1, 6)
    assert not compare(before[:1], after[:1]).varies
    assert compare(before, after).varies


@pytest.mark.parametrize("mean", [0.0, 300.0, 1e4])
def test_an_offset_changes_nothing(mean: float):
    before, after = noisy(3, 40, 1, 3)
    moved = compare(
        [sample.astype(float) + mean for sample in before], [sample.astype(float) + mean for sample in after]
    )
    assert moved.sqnr_db == pytest.approx(compare(before, after).sqnr_db, abs=1e-6)
    assert moved.cosine == pytest.approx(compare(before, after).cosine, abs=1e-9)


def test_boxes_do_not_hide_the_errors_of_scores():
    generator = np.random.default_rng(4)
    boxes, marks = generator.uniform(0, 640, (30, 1, 16, 4)), generator.random((30, 1, 16, 20))
    before = np.concatenate([boxes, marks], -1)
    after = before + 0.1 * generator.standard_normal(before.shape)
    mixed, alone = compare(list(before), list(after)), compare(list(marks), list(after[..., 4:]))
    assert mixed.sqnr_db == pytest.approx(alone.sqnr_db)
    assert mixed.slice == "indices 4 to 23 of axis 2"
    assert alone.slice is None
    assert (mixed.raw_sqnr_db or 0) > (mixed.sqnr_db or 0) + 30


def test_classes_of_a_model_that_names_one_only_are_not_compared():
    before = list(softmax(np.random.default_rng(5).standard_normal((40, 1, 6)) + np.array([9, 0, 0, 0, 0, 0])))
    result = compare(before, before)
    assert (result.agreement, result.class_changes, result.compares_classes) == (1.0, 0, False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_the_original_either_is_left_out(value: float):
    before, after = noisy(6, 4, 1, 8)
    expected = compare([sample[:, 1:] for sample in before], [sample[:, 1:] for sample in after])
    for sample in (*before, *after):
        sample[0, 0] = value
    result = compare(before, after)
    assert result.sqnr_db == pytest.approx(expected.sqnr_db)
    assert result.rmse == pytest.approx(expected.rmse)
    assert result.note == "4 of 32 values are NaN or infinite in the original too: left out"


def test_a_signalling_nan_raises_no_alarm():
    values = [np.array([[0x7FA00000, one]], np.uint32).view(np.float32) for one in (0x3F800000, 0x40000000)]
    assert compare(values, values).sqnr_db == math.inf


@pytest.mark.parametrize(("one", "other"), [(0.0, np.nan), (0.0, np.inf), (np.inf, -np.inf), (np.nan, 0.0)])
def test_values_that_turn_to_nan_or_infinity_or_back_are_a_total_loss(one: float, other: float):
    before, after = noisy(7, 4, 1, 8)
    before[2][0, 3], after[2][0, 3] = one, other
    result = compare(before, after)
    assert (result.sqnr_db, result.max_abs_error, result.rmse) == (-math.inf, math.inf, math.inf)
    assert result.cosine is None
    assert "1 of 32 values" in (result.note or "")


def test_class_scores_that_turn_to_nan_agree_with_nothing():
    before = list(softmax(np.random.default_rng(8).standard_normal((4, 1, 5))))
    after = [sample.copy() for sample in before]
    after[1][:] = np.nan
    result = compare(before, after)
    assert (result.agreement, result.kl_divergence) == (0.75, math.inf)
    accuracy = comparison(before, after).accuracy(np.stack(before)[:, 0].argmax(-1))
    assert accuracy is not None
    assert (accuracy.before, accuracy.after, accuracy.lost, accuracy.gained) == (1.0, 0.75, 1, 0)


def test_samples_without_class_in_the_original_do_not_count():
    before = list(softmax(np.random.default_rng(9).standard_normal((4, 1, 5))))
    before[1][:] = np.nan
    result = compare(before, before)
    assert (result.agreement, result.kl_divergence) == (1.0, 0.0)
    nothing = [np.full((1, 5), np.nan)]
    assert compare(nothing, nothing, classes=True).agreement is None


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_])
def test_whole_numbers_and_booleans_are_compared_by_equality(dtype: type):
    before = [np.array([[0, 1, 1, 0]]).astype(dtype), np.array([[1, 1, 1, 1]]).astype(dtype)]
    after = [np.array([[0, 1, 1, 1]]).astype(dtype), np.array([[1, 1, 1, 1]]).astype(dtype)]
    result = compare(before, after)
    assert (result.agreement, result.real, result.sqnr_db, result.rmse) == (7 / 8, False, None, None)


def test_a_shape_that_differs_makes_the_output_incomparable():
    before = [np.ones((1, 4), np.float32), np.ones((1, 3), np.float32)]
    after = [np.ones((1, 4), np.float32), np.ones((1, 2), np.float32)]
    result = compare(before, after)
    assert result.sqnr_db is None
    assert result.note == "its shape differs in 1 of 2 samples"
    counts = compare([np.ones(3, np.int32)], [np.ones(2, np.int32)])
    assert counts.agreement is None


def test_shapes_may_vary_from_sample_to_sample():
    before = [np.full((1, size), 2.0, np.float32) for size in (4, 3, 0)]
    after = [sample + 1 for sample in before]
    assert compare(before, after).rmse == 1.0


def test_accuracy_counts_the_hits_of_both_models():
    before, after = noisy(10, 40, 1, 5, error=1.0)
    labels = np.random.default_rng(11).integers(0, 5, 40)
    b, a = np.stack(before)[:, 0].argmax(-1), np.stack(after)[:, 0].argmax(-1)
    accuracy = comparison(before, after).accuracy(labels)
    assert accuracy is not None
    assert (accuracy.before, accuracy.after) == (np.mean(b == labels), np.mean(a == labels))
    lost = (b == labels).astype(float) - (a == labels)
    assert accuracy.drop_points == pytest.approx(100 * lost.mean())
    assert accuracy.standard_error_points == pytest.approx(100 * lost.std(ddof=1) / 40**0.5)


def test_labels_beyond_the_classes_belong_to_another_output():
    before, after = noisy(12, 3, 1, 5)
    assert comparison(before, after).accuracy(np.array([0, 5, 1])) is None


numbers = st.floats(-1e3, 1e3, width=32).filter(lambda number: not 0 < abs(number) < 1e-30)  # halves are exact
arrays = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(1), st.integers(1, 6)), elements=numbers)


@given(values=arrays, error=st.just(0.0) | st.floats(1e-3, 10), exponent=st.integers(-20, 20))
def test_sqnr_and_cosine_do_not_depend_on_the_unit(values: Array, error: float, exponent: int):
    before, after = values.astype(float), values.astype(float) + error
    factor = 2.0**exponent  # exact, so that nothing is rounded
    assume(before.min() < 0 or before.max() * min(factor, 1) > 1)  # from 0 to 1 a vector is taken for probabilities
    one = compare(list(before), list(after))
    other = compare(list(factor * before), list(factor * after))
    assert one.varies == other.varies
    if one.varies:
        assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=1e-9)
        assert one.cosine == pytest.approx(other.cosine, abs=1e-9)
        assert -1 <= (one.cosine or 0) <= 1
    assert (one.max_abs_error, one.rmse) == (pytest.approx(error, abs=1e-9), pytest.approx(error, abs=1e-9))


@given(values=arrays)
def test_class_scores_agree_with_themselves_and_diverge_from_nothing(values: Array):
    result = compare(list(values), list(values), classes=True)
    if result.agreement is not None:
        assert (result.agreement, result.kl_divergence) == (1.0, 0.0)
