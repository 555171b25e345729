"""A weight that is exactly zero stays so, whatever errors are passed on to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.matrices import COLUMNS, ROWS, floats, hessians, integers

from tflite_cluster.clustering.coupling import Coupling
from tflite_cluster.clustering.feedback import Feedback
from tflite_cluster.clustering.grid import grid_at_price, grid_of_count, int4_grid, int4_grid_of_count, int8_grid
from tflite_cluster.clustering.rate import Drift, Matrix, cluster_at_price, cluster_to_count

PARTS = [None, (1, COLUMNS), (2, COLUMNS), (2, COLUMNS // 2), (ROWS, COLUMNS)]


def pruned(kind: str, seed: int, share: float, parts: tuple[int, int] | None, coupled: bool, drifted: bool) -> Matrix:
    """A matrix of which that share is zero, with all that can be passed on to it."""
    generator = np.random.default_rng(seed)
    zero, code = {"float32": (0, np.float32), "int8": (0, np.int8), "uint8": (128, np.uint8)}[kind]
    matrix = floats() if kind == "float32" else integers(zero, code)
    gone = generator.random((ROWS, COLUMNS)) < share
    gone[0, 0] = True
    codes = np.where(gone, code(zero), matrix.codes)
    if parts is None:
        return replace(matrix, codes=codes)
    coupling = Coupling.of(hessians(1, ROWS)[0]) if coupled and parts[0] == 1 else None
    drift = None
    if drifted:
        target = codes - float(zero) + generator.normal(0, codes.std(), codes.shape)
        drift = Drift(target, np.zeros(parts))
    return replace(matrix, codes=codes, feedback=Feedback.of(hessians(*parts), coupling), drift=drift)


@pytest.mark.slow
@settings(deadline=None)
@given(
    kind=st.sampled_from(["float32", "int8", "uint8"]),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    parts=st.sampled_from(PARTS),
    coupled=st.booleans(),
    drifted=st.booleans(),
    noise=st.floats(-60, 10),
    clusters=st.integers(2, 64),
)
def test_what_is_zero_stays_zero(
    kind: str,
    seed: int,
    share: float,
    parts: tuple[int, int] | None,
    coupled: bool,
    drifted: bool,
    noise: float,
    clusters: int,
) -> None:
    matrix = pruned(kind, seed, share, parts, coupled, drifted)
    gone = matrix.codes == matrix.zero
    price = matrix.power / matrix.codes.size * 10 ** (noise / 10)
    assert (cluster_at_price(matrix, price).codes[gone] == matrix.zero).all()
    assert (cluster_to_count(matrix, clusters).codes[gone] == matrix.zero).all()
    finest = None if matrix.is_float else matrix.scale
    assert not grid_at_price(matrix.real, price, ROWS, finest=finest).codes[gone].any()
    assert not grid_of_count(matrix.real, clusters).codes[gone].any()
    narrow = int4_grid(matrix.real, price, int8_grid(matrix.real, price, ROWS))
    assert narrow is None or not narrow.assigned(matrix.real).codes[gone].any()
    assert not int4_grid_of_count(matrix.real, clusters).codes[gone].any()


@pytest.mark.parametrize("parts", [(1, 8), (2, 4), (6, 8)])
def test_only_the_zeros_are_kept(parts: tuple[int, int]) -> None:
    weights = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    zeros = np.zeros(weights.shape, bool)
    zeros[2, 5] = True
    book = np.array([-1.0, 0.0, 1.0])
    feedback = Feedback.of(hessians(*parts))
    plain = feedback.assign(weights, book, np.ones(6))
    found = feedback.assign(weights, book, np.ones(6), zeros)
    assert found[2, 5] == 1
    others = np.arange(6) != 2
    np.testing.assert_array_equal(found[others], plain[others])
