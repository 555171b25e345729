from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.fidelity.slices import Slices, find_slices


def split(scale: np.ndarray, is_one_unit: bool = False) -> Slices:
    return find_slices(scale.reshape(-1).astype(float), scale.shape, is_one_unit)


def columns(*sizes: tuple[int, float]) -> np.ndarray:
    """Scales of columns: how many, and how large."""
    return np.concatenate([np.full(count, scale) for count, scale in sizes])


@pytest.mark.parametrize("shape", [(1, 64, 24), (1, 8400, 24), (64, 24), (1, 5, 24), (1, 8, 8, 24)])
def test_boxes_and_scores_in_the_last_axis(shape: tuple[int, ...]) -> None:
    found = split(np.broadcast_to(columns((4, 100.0), (20, 0.1)), shape))
    assert (found.count, found.axis) == (2, len(shape) - 1)
    assert found.name(0) == f"indices 4 to 23 of axis {len(shape) - 1}"
    assert found.name(1) == f"indices 0 to 3 of axis {len(shape) - 1}"


def test_boxes_and_scores_ahead_of_the_anchors() -> None:
    scale = np.broadcast_to(columns((4, 100.0), (80, 0.1))[:, None], (1, 84, 8400))
    found = split(scale)
    assert (found.count, found.axis) == (2, 1)


def test_landmarks_and_presence_in_one_vector() -> None:
    found = split(columns((63, 40.0), (1, 0.3))[None])
    assert [found.name(part) for part in range(found.count)] == ["index 63 of axis 1", "indices 0 to 62 of axis 1"]


def test_scores_of_one_unit_are_not_split() -> None:
    assert split(columns((500, 0.1), (1, 1e-4))[None], is_one_unit=True).count == 1


@given(st.lists(st.floats(0.13, 1.0), min_size=2, max_size=40))
def test_columns_of_like_scale_are_one(scales: list[float]) -> None:
    found = split(np.array(scales)[None])
    assert found.count == 1
    assert found.name(0) == ""


def test_places_of_a_picture_are_not_quantities() -> None:
    scale = np.ones((1, 16, 16, 1))
    scale[0, :4] = 1e-3
    assert split(scale).count == 1


def test_what_never_varies_goes_with_the_smallest() -> None:
    found = split(columns((4, 100.0), (2, 0.0), (10, 0.1))[None])
    assert found.of_elements.tolist() == [1] * 4 + [0] * 12
    assert found.name(0) == "indices 4 to 15 of axis 1"
    assert split(np.zeros((1, 6))).count == 1


def test_elements_that_are_not_known_do_not_count() -> None:
    scale = np.broadcast_to(columns((4, 100.0), (20, 0.1)), (1, 64, 24)).copy()
    scale[0, ::3] = np.nan
    assert split(scale).of_elements.tolist() == split(np.nan_to_num(scale)).of_elements.tolist()


@given(st.permutations(range(12)))
def test_the_order_of_columns_does_not_matter(order: list[int]) -> None:
    scale = columns((4, 50.0), (8, 0.2))
    found, moved = split(scale[None]), split(scale[order][None])
    assert found.of_elements[order].tolist() == moved.of_elements.tolist()


def test_a_straggler_of_an_embedding_is_not_split_off() -> None:
    """Scales of one quantity may be spread widely; one of them lies below all others."""
    scales = np.concatenate([[1e-4], np.geomspace(1.5e-3, 0.17, 63)])
    assert split(scales[None]).count == 1
