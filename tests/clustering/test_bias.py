"""Biases are as exact as they need to be, and end in zero bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.clustering.bias import rounded

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int, rows: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 10.0 ** rng.uniform(-6, 6), rows), 10.0 ** rng.uniform(-12, 12, rows)


def trailing_zeros(values: np.ndarray) -> int:
    """Bits at the end of float32 mantissas that are 0, in the mean."""
    bits = values.astype("<f4").view("<u4")[values != 0].astype(np.int64)
    return int(np.mean(np.log2(np.maximum(bits & -bits, 1)))) if len(bits) else 32


@pytest.mark.slow
@given(seed=SEEDS)
def test_the_error_is_within_what_the_outputs_bear(seed: int) -> None:
    biases, noise = problem(seed)
    error = np.abs(rounded(biases, noise, np.ones(1)) - biases)
    assert np.all(error <= np.sqrt(12 * noise / 32) / 2 * (1 + 1e-9) + np.abs(biases).max() * 2.0**-40)


@given(seed=SEEDS)
def test_biases_keep_thirty_decibels_however_loud_the_weights_are(seed: int) -> None:
    biases, _ = problem(seed)
    error = rounded(biases, np.full(len(biases), np.inf), np.ones(1)) - biases
    assert np.max(np.abs(error)) <= np.sqrt(3 * np.mean(biases**2) * 1e-3)


@given(seed=SEEDS)
def test_without_noise_nothing_changes_that_float32_could_hold(seed: int) -> None:
    biases, _ = problem(seed)
    exact = rounded(biases, np.zeros(len(biases)), np.ones(1))
    assert np.max(np.abs(exact - biases)) <= np.abs(biases).max() * 2.0**-40


@given(seed=SEEDS, scales=st.sampled_from([1, 64]))
def test_in_units_of_codes_the_result_is_whole_where_the_step_is(seed: int, scales: int) -> None:
    biases, _ = problem(seed)
    unit = np.abs(biases).mean() * 2.0**-14 * np.random.default_rng(seed).uniform(1, 4, scales)
    codes = rounded(biases, np.full(len(biases), np.inf), unit) / unit
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-6)
    assert np.all(np.rint(codes).astype(int) % 2 == 0)


def test_rounded_biases_end_in_zero_bits() -> None:
    biases = np.random.default_rng(0).normal(size=256)
    assert trailing_zeros(rounded(biases, np.full(256, 0.05), np.ones(1))) > trailing_zeros(biases) + 10


def test_biases_of_zero_stay_zero() -> None:
    for unit in (np.ones(1), np.full(8, 1e-9)):
        assert not rounded(np.zeros(8), np.ones(8), unit).any()
