"""Weights in tables of values: how many values a price buys, and what is charged for them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixture_models import FOLDER
from support.matrices import integers

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import open_model
from tflite_cluster.search.allocation import price_at_sqnr, sensitivities
from tflite_cluster.search.clusterer import Clusterer
from tflite_cluster.search.encodings import Place
from tflite_cluster.search.job import make_job
from tflite_cluster.search.quality import Quality
from tflite_cluster.search.tables import TableCodes
from tflite_cluster.targets.chips import find_chip

PATH = FOLDER / "fully_connected_per_tensor_int8.tflite"
MODEL = open_model(PATH)
ANALYSIS = analyse(MODEL)
(WEIGHT,) = ANALYSIS.weights
PLACE = Place(WEIGHT, WEIGHT.channels)
BITS = {2**bits: bits + 0.5 for bits in range(1, 8)}


@given(st.floats(-12, 4))
def test_values_fill_the_indices_that_are_paid_for(logarithm: float) -> None:
    matrix = integers()
    priced = TableCodes(PLACE, BITS, 8.0).assign(matrix, 10**logarithm * matrix.square_scale).priced
    values = len(np.unique(priced.codes))
    if priced.entropy == 8.0:
        assert np.array_equal(priced.codes, matrix.codes)
    else:
        assert values <= 2 ** (priced.entropy - 0.5)
        assert 10 * np.log10(matrix.power / priced.error) >= matrix.least_sqnr


def test_a_higher_price_buys_fewer_bits_for_more_error() -> None:
    matrix = integers()
    prices = np.geomspace(1e-3, 1e3, 7) * matrix.square_scale
    priced = [TableCodes(PLACE, BITS, 8.0).assign(matrix, float(price)).priced for price in prices]
    assert priced[0].entropy > priced[3].entropy > priced[-1].entropy
    assert all(one.entropy >= other.entropy and one.error <= other.error for one, other in pairwise(priced))


def test_a_weight_that_no_table_pays_for_comes_back_as_it_was(tmp_path: Path) -> None:
    job = make_job(MODEL, WEIGHT, find_chip("tflm").encode(ANALYSIS, [WEIGHT]))
    assert isinstance(job.encoding, TableCodes)
    with PatchedCopy(MODEL, tmp_path / "out.tflite") as copy:
        job.assign(price_at_sqnr(job, 15.0)).write(copy)
        assert copy.read() != PATH.read_bytes()
        job.assign(price_at_sqnr(job, 200.0)).write(copy)
        assert copy.read() == PATH.read_bytes()


@pytest.mark.parametrize("bits", [{}, {128: 7.5}])
def test_a_weight_without_error_tells_no_sensitivity(bits: dict[int, float], tmp_path: Path) -> None:
    """Its error was divided by: then its price was next to nothing, and no size could make it smaller."""
    job = make_job(MODEL, WEIGHT, lambda weight, rows: TableCodes(Place(weight, rows), bits, 8.0))
    with PatchedCopy(MODEL, tmp_path / "out.tflite") as copy:
        clusterer = Clusterer(MODEL, copy, 1)
        (found,) = sensitivities(clusterer, [job], lambda: Quality(0.1, None, None, 20.0), lambda *_: None)
    assert found < 1e6 / job.matrix.power
