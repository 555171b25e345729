from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.problems import clustered, floats, integers

from tflite_cluster.clustering.assign import compare
from tflite_cluster.model.storage import STORAGES

float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
clusters_counts = st.integers(2, 64)


@pytest.mark.slow
@given(arrays(np.float32, st.integers(1, 200), elements=float32), clusters_counts)
@example(np.array([0.5, 1.0, 2.0**52, 2.0**52, 2.0**52], np.float32), 2)
def test_any_floats(values: np.ndarray, clusters: int) -> None:
    result = clustered(floats(values), clusters)
    assert result.codes.dtype == np.float32
    assert result.values_before == len(np.unique(values))
    assert result.values_after == len(np.unique(result.codes)) <= clusters
    assert result.codes.min() >= values.min()
    assert result.codes.max() <= values.max()
    assert np.all(result.codes[values == 0] == 0)


@pytest.mark.slow
@given(
    arrays(np.int8, st.tuples(st.integers(1, 6), st.integers(1, 40))),
    st.lists(st.floats(0, 1e30), min_size=6, max_size=6),
    st.integers(-128, 127),
    clusters_counts,
)
def test_any_codes(codes: np.ndarray, scales: list[float], zero: int, clusters: int) -> None:
    result = clustered(integers(codes, scales[: len(codes)], zero), clusters)
    after = result.codes.reshape(codes.shape)
    assert after.dtype == np.int8
    assert result.values_after == len(np.unique(after)) <= clusters
    assert after.min() >= codes.min()
    assert after.max() <= codes.max()
    assert np.all(after[codes == zero] == zero)


@pytest.mark.slow
@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 60)), elements=float32), st.integers(2, 16))
def test_each_channel_has_its_own_codebook(values: np.ndarray, clusters: int) -> None:
    tensor = floats(values, channels=len(values))
    after = clustered(tensor, clusters, per_channel=True).codes.reshape(values.shape)
    for channel, row in zip(after, values, strict=True):
        assert np.array_equal(channel, clustered(floats(row), clusters).codes)


def test_channels_along_the_last_axis() -> None:
    values = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    codes, problem = floats(values)
    last_axis = type(problem)(
        problem.is_float, problem.scale, problem.scale_shape, (50, 3, 1), problem.zero, problem.representable
    )
    after = clustered((codes, last_axis), 4, per_channel=True).codes.reshape(values.shape)
    assert [len(np.unique(channel)) for channel in after.T] == [4, 4, 4]
    assert len(np.unique(after)) == 12


@pytest.mark.slow
@given(arrays(np.float32, st.integers(1, 64), elements=float32))
def test_few_values_are_kept_as_they_are(values: np.ndarray) -> None:
    result = clustered(floats(values), 64)
    assert np.array_equal(result.codes, values)
    assert result.noise == 0
    assert result.sqnr == np.inf


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_few_codes_are_kept_as_they_are(dtype: str) -> None:
    limits = np.iinfo(dtype)
    codes = np.array([[limits.min, limits.max, 5, 5, 7]], dtype)
    result = clustered(integers(codes), 4)
    assert np.array_equal(result.codes, codes[0])
    assert (result.values_before, result.values_after, result.noise) == (4, 4, 0)


@given(seed=st.integers(0, 2**32 - 1), zero=st.integers(-128, 127))
def test_new_scales_count_in_the_error(seed: int, zero: int) -> None:
    rng = np.random.default_rng(seed)
    codes, changed = (rng.integers(-128, 128, (5, 70)).astype(np.int8) for _ in range(2))
    scale, other = (rng.uniform(0.1, 10, 5) for _ in range(2))
    flat, problem = integers(codes, scale.tolist(), zero)
    compared = compare(flat, changed.reshape(-1), problem, other)
    before, after = ((values.astype(float) - zero) * by[:, None] for values, by in ((codes, scale), (changed, other)))
    assert compared.signal == pytest.approx(np.sum(before**2))
    assert compared.noise == pytest.approx(np.sum((after - before) ** 2))
    assert compare(flat, changed.reshape(-1), problem, scale).noise == pytest.approx(
        compare(flat, changed.reshape(-1), problem).noise
    )


def test_the_error_of_a_channel_counts_by_its_squared_scale() -> None:
    """Both channels hold the same number of codes, but those of the second are a hundred times as large."""
    codes = np.array([[-100, -96, -92, -88] * 5, [80, 84, 88, 92] * 5], np.int8)
    scales = np.array([[1.0], [100.0]])
    blind = clustered(integers(codes), 4).codes.reshape(codes.shape)
    aware = clustered(integers(codes, scales[:, 0]), 4).codes.reshape(codes.shape)

    def error(changed: np.ndarray) -> float:
        return float(np.square((changed.astype(float) - codes) * scales).sum())

    assert (len(np.unique(blind[1])), len(np.unique(aware[1]))) == (2, 3)
    assert error(aware) < 0.6 * error(blind)


def test_a_scale_of_zero_or_of_next_to_nothing_spoils_no_other_channel() -> None:
    codes = np.random.default_rng(0).integers(-128, 128, (3, 500)).astype(np.int8)
    codes[1:] //= 2
    result = clustered(integers(codes, [1.0, 0.0, 1e-30]), 16).codes.reshape(codes.shape)
    alone = clustered(integers(codes[:1]), 16).codes
    assert np.array_equal(result[0], alone)


def test_signal_and_noise_are_those_of_the_real_weights() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (4, 300)).astype(np.uint8)
    scales = np.array([0.5, 2.0, 3.0, 0.25])
    result = clustered(integers(codes, scales, zero=100), 8)
    real = (codes - 100.0) * scales[:, None]
    changed = (result.codes.reshape(codes.shape) - 100.0) * scales[:, None]
    assert result.signal == pytest.approx(np.square(real).sum())
    assert result.noise == pytest.approx(np.square(changed - real).sum())
    assert result.sqnr == pytest.approx(10 * np.log10(result.signal / result.noise))


def test_signal_and_noise_of_more_than_one_block() -> None:
    values = np.random.default_rng(0).standard_normal(300_000).astype(np.float32)
    result = clustered(floats(values), 8)
    change = result.codes.astype(np.float64) - values
    assert result.signal == pytest.approx(np.square(values.astype(np.float64)).sum())
    assert result.noise == pytest.approx(np.square(change).sum())


def test_both_zeros_are_one_value_and_stay_zero() -> None:
    values = np.concatenate((np.linspace(-1, 1, 100), [0.0, -0.0] * 20)).astype(np.float32)
    result = clustered(floats(values), 8)
    assert result.values_before == 101
    assert np.all(result.codes[values == 0] == 0)
    assert np.array_equal(clustered(floats([0.0, -0.0, 1.0]), 2).codes, [0, 0, 1])


def test_zero_stays_zero_among_more_values_than_a_histogram_has_bins() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 60_000).astype(np.float32)
    values[::7] = 0
    after = clustered(floats(values), 32).codes
    assert np.all(after[::7] == 0)
    assert len(np.unique(after)) == 32


@pytest.mark.parametrize("zero", [0, 1234])
def test_int16_with_more_codes_than_exact_search_takes(zero: int) -> None:
    codes = np.round(np.random.default_rng(0).normal(zero, 3000, (1, 20_000))).astype(np.int16)
    codes[0, :10] = zero
    after = clustered(integers(codes, 0.25, zero), 16).codes
    assert after.dtype == np.int16
    assert len(np.unique(after)) == 16
    assert np.all(after[:10] == zero)


@pytest.mark.parametrize("type_name", ["FLOAT16", "BFLOAT16"])
def test_half_precision_centroids_can_be_stored(type_name: str) -> None:
    storage = STORAGES[type_name]
    generator = np.random.default_rng(0)
    raw = storage.encode(storage.representable(generator.laplace(size=4000)).astype(np.float32), memoryview(b""))
    values = storage.decode(memoryview(raw), 4000)
    result = clustered(floats(values, storage.representable), 32)
    stored = storage.decode(memoryview(storage.encode(result.codes, memoryview(raw))), 4000)
    assert np.array_equal(stored, result.codes)
    assert result.values_after <= 32
    assert result.sqnr > 25
