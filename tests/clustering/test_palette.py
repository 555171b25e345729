"""Bits of palette indices, beside what Vela's own encoder makes of the same codes."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.matrices import integers

from tflite_cluster.clustering.palette import cluster_in_palette, code_bits, palette_codebook

VELA = pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed (extra ethos-u)")
RANDOM = np.random.default_rng(0)
COUNT = 20_000
STREAMS = {
    "16 alike": RANDOM.integers(-8, 8, COUNT),
    "24 alike": RANDOM.integers(-8, 16, COUNT),
    "64 alike": RANDOM.integers(-32, 32, COUNT),
    "narrow": np.rint(RANDOM.normal(0, 2, COUNT)).astype(int),
    "wide": np.clip(np.rint(RANDOM.normal(0, 20, COUNT)), -127, 127).astype(int),
    "sharp": np.clip(np.rint(RANDOM.laplace(0, 6, COUNT)), -127, 127).astype(int),
}


@VELA
@pytest.mark.parametrize("name", STREAMS)
def test_as_many_bits_as_velas_encoder_takes(name: str) -> None:
    from ethosu import mlw_codec

    encoded = mlw_codec.encode(STREAMS[name].tolist())
    assert code_bits(STREAMS[name]) == pytest.approx(8 * len(encoded) / COUNT, rel=0.03)


@given(st.integers(2, 32))
def test_indices_take_no_more_bits_than_their_number_calls_for(values: int) -> None:
    codes = np.arange(COUNT) % values
    assert code_bits(codes) <= max(values - 1, 1).bit_length() + 0.02


def test_frequent_values_take_fewer_bits() -> None:
    even = np.arange(COUNT) % 16
    uneven = np.where(np.arange(COUNT) % 10, even % 4, even)
    assert code_bits(uneven) < code_bits(even) - 0.5


def test_a_higher_price_buys_fewer_bits_for_more_error() -> None:
    matrix = integers()
    low, high = (cluster_in_palette(matrix, price * matrix.square_scale) for price in (1.0, 100.0))
    assert code_bits(high.codes) < code_bits(low.codes) - 1
    assert high.error > low.error
    assert 10 * np.log10(matrix.power / high.error) >= matrix.least_sqnr


def test_nothing_changes_where_bits_cost_nothing() -> None:
    matrix = integers()
    assert np.array_equal(palette_codebook(matrix, 1e-12), matrix.histogram.values)
    assert np.array_equal(cluster_in_palette(matrix, 1e-12).codes, matrix.codes)
