"""Cepstra that are made up: their shape, their size and what tells them from other inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.samples.cepstra import Cepstra


def sample(shape: tuple[int, ...], sign: int = -1, count: int = 50) -> np.ndarray:
    """Several samples, (count, time, coefficients)."""
    cepstra = next(each for each in Cepstra.likely(shape) if each.sign == sign)
    values = np.stack([cepstra.noise(shape, np.random.default_rng(seed)) for seed in range(count)])
    assert values.shape == (count, *shape)
    found = values.reshape(count, *cepstra.sides)
    return found if cepstra.axis == 1 else np.moveaxis(found, 1, 2)


@pytest.mark.parametrize("shape", [(1, 49, 10, 1), (1, 10, 49, 1), (49, 10), (1, 1, 13, 99)])
def test_the_first_coefficient_is_the_largest_and_has_a_mean(shape: tuple[int, ...]):
    for sign in (-1, 1):
        values = sample(shape, sign)
        deviations = values.std((0, 1))
        assert deviations[0] > 4 * deviations[1] > 4 * deviations[-1]
        assert sign * values[..., 0].mean() > 0.2 * deviations[0]
        assert abs(values[..., 1:].mean()) < 0.1 * deviations[1]


@given(st.lists(st.integers(1, 60), max_size=5).map(tuple))
def test_samples_have_the_shape_of_the_input(shape: tuple[int, ...]):
    for cepstra in Cepstra.likely(shape):
        values = cepstra.noise(shape, np.random.default_rng(0))
        assert values.shape == shape
        assert np.isfinite(values).all()
        assert math.prod(cepstra.sides) == values.size
        assert cepstra.sides[cepstra.axis] < cepstra.sides[1 - cepstra.axis]


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (1, 224, 224, 3), (1, 490), (1, 100, 4), (1, 100, 64), ()])
def test_pictures_and_vectors_are_not_taken_for_cepstra(shape: tuple[int, ...]):
    assert not list(Cepstra.likely(shape))
