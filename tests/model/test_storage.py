from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tflite_cluster.model.storage import STORAGES

STORED = {"FLOAT32": "<u4", "FLOAT16": "<u2", "BFLOAT16": "<u2", "INT8": "<i1", "UINT8": "<u1", "INT16": "<i2"}
FLOATS = {"FLOAT32": 32, "FLOAT16": 16, "BFLOAT16": 32}
INTEGERS = sorted(STORAGES.keys() - FLOATS)


@pytest.mark.parametrize("kind", STORED)
@given(data=st.data())
def test_stored_bytes_survive_decoding_and_encoding(kind: str, data: st.DataObject) -> None:
    storage = STORAGES[kind]
    stored = data.draw(arrays(STORED[kind], st.integers(1, 40)))
    raw = memoryview(stored.tobytes())
    codes = storage.decode(raw, len(stored))
    assert codes.shape == stored.shape
    assert storage.nbytes(len(stored)) == len(raw)
    if storage.is_float and not np.isfinite(codes).all():
        return  # such weights are never written: a NaN may lose its payload
    assert bytes(storage.encode(codes, raw)) == raw


@given(raw=st.binary(min_size=1, max_size=40), odd=st.booleans())
def test_nibbles_survive_and_the_spare_one_stays(raw: bytes, odd: bool) -> None:
    storage, view = STORAGES["INT4"], memoryview(raw)
    count = 2 * len(raw) - odd
    codes = storage.decode(view, count)
    assert storage.nbytes(count) == len(raw)
    assert len(codes) == count
    assert codes.min() >= -8
    assert codes.max() <= 7
    assert bytes(storage.encode(codes, view)) == raw
    assert storage.encode(np.zeros(count, np.int8), view)[-1] == (raw[-1] & 0xF0 if odd else 0)


def test_the_low_nibble_comes_first() -> None:
    assert STORAGES["INT4"].decode(memoryview(b"\x7f\x80"), 4).tolist() == [-1, 7, 0, -8]


def test_the_stored_order_is_little_endian() -> None:
    assert STORAGES["INT16"].decode(memoryview(b"\x01\x80"), 1).tolist() == [-32767]
    assert STORAGES["FLOAT32"].decode(memoryview(b"\0\0\x80\xbf"), 1).tolist() == [-1.0]
    assert STORAGES["BFLOAT16"].decode(memoryview(b"\x80\xbf"), 1).tolist() == [-1.0]
    assert STORAGES["FLOAT16"].decode(memoryview(b"\0\xbc"), 1).tolist() == [-1.0]


@pytest.mark.parametrize("kind", INTEGERS)
@given(value=st.floats(-1e6, 1e6))
def test_integers_round_to_the_nearest_code(kind: str, value: float) -> None:
    storage = STORAGES[kind]
    (rounded,) = storage.representable(np.array([value]))
    assert rounded == int(rounded)
    assert storage.low <= rounded <= storage.high
    assert abs(rounded - value) == max(abs(round(value) - value), storage.low - value, value - storage.high)


@pytest.mark.parametrize("kind", FLOATS)
@given(data=st.data())
def test_floats_round_to_the_nearest_value_and_stay_there(kind: str, data: st.DataObject) -> None:
    storage = STORAGES[kind]
    largest = float(np.finfo(np.float16).max) if kind == "FLOAT16" else 2.0**127
    value = data.draw(st.floats(-largest, largest, width=32))
    (rounded,) = storage.representable(np.array([value]))
    assert storage.representable(np.array([rounded]))[0] == rounded
    stored = np.frombuffer(storage.encode(np.array([rounded], np.float32), memoryview(b"")), STORED[kind])
    for step in (-1, 1):  # the next value down or up, in magnitude, has the next bits
        neighbour = (stored.astype(np.int64) + step).astype(STORED[kind])
        other = float(storage.decode(memoryview(neighbour.tobytes()), 1)[0])
        if np.isfinite(other):
            assert abs(rounded - value) <= abs(other - value)


@given(values=arrays(np.float32, 20, elements=st.floats(-(2.0**127), 2.0**127, width=32)))
def test_bfloat16_rounds_half_to_even(values: np.ndarray) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    expected = values.astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_array_equal(STORAGES["BFLOAT16"].representable(values.astype(np.float64)), expected)


def test_a_tie_of_bfloat16_goes_to_the_even_one() -> None:
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8])
    assert STORAGES["BFLOAT16"].representable(ties).tolist() == [1, 1 + 2**-6, -1]


REALS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(values=arrays(np.float64, st.integers(1, 20), elements=REALS))
def test_float32_that_packs_well_is_close_by(values: np.ndarray) -> None:
    packed = STORAGES["FLOAT32"].well_packed(np.sort(values))
    np.testing.assert_array_equal(packed, packed.astype(np.float32))
    assert np.all(np.isfinite(packed))
    assert np.all(np.diff(packed) >= 0)
    np.testing.assert_allclose(packed, np.sort(values), rtol=2**-8, atol=1e-38)
    assert np.all(packed[np.sort(values) == 0] == 0)
    lowest, low, high, _ = packed.astype("<f4").view(np.uint8).reshape(-1, 4).T
    moved = np.abs(packed) < 3.3e38  # above, the next one up would be infinite
    assert np.all((low[moved] == 0) & (lowest[moved] == high[moved]))


def test_what_packs_well_zips_smaller() -> None:
    generator = np.random.default_rng(0)
    book = np.sort(np.append(generator.standard_normal(60), 0.0))
    chosen = np.clip(np.rint(generator.laplace(0, 8, 100_000) + 30), 0, 60).astype(int)
    sizes = [
        len(zlib.compress(values[chosen].astype("<f4").tobytes(), 9))
        for values in (book, STORAGES["FLOAT32"].well_packed(book))
    ]
    assert sizes[1] < 0.995 * sizes[0]
