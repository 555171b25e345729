from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.errors import DataError
from tflite_cluster.interpreter.interface import ModelInterface, Sequences, Signature, TensorSpec
from tflite_cluster.samples.cepstra import Cepstra
from tflite_cluster.samples.pictures import _turn
from tflite_cluster.samples.synthetic import (
    InputHint,
    Manner,
    gather_samples,
    plain_noises,
    probe_samples,
    samples_in_ranges,
    synthetic_count,
    synthetic_samples,
)


def spec(shape: tuple[int, ...], dtype: Any = np.float32, scale: float = 0.0, name: str = "x") -> TensorSpec:
    concrete = tuple(max(size, 1) for size in shape)
    return TensorSpec(name, 0, concrete, shape, np.dtype(dtype), scale, 0)


def make(wanted: TensorSpec, hint: InputHint | None = None, count: int = 16, seed: int = 0) -> npt.NDArray[Any]:
    hints = {} if hint is None else {wanted.name: hint}
    samples = synthetic_samples(Signature(None, (wanted,), ()), hints, count, seed)
    assert samples.synthetic
    assert samples.source == f"{count} synthetic samples"
    return samples.batch(0, samples.count)[wanted.name]


def neighbours(values: npt.NDArray[Any], axis: int) -> float:
    """Correlation of each element with the next along an axis."""
    values = values - values.mean()
    moved = np.moveaxis(values, axis, 0)
    return float(np.mean(moved[1:] * moved[:-1]) / np.mean(values**2))


def test_the_same_arguments_give_the_same_samples():
    np.testing.assert_array_equal(make(spec((1, 8, 8, 3))), make(spec((1, 8, 8, 3))))
    assert not np.array_equal(make(spec((1, 8, 8, 3))), make(spec((1, 8, 8, 3)), seed=1))


def test_more_samples_begin_with_the_same():
    np.testing.assert_array_equal(make(spec((1, 8, 8, 3)), count=4), make(spec((1, 8, 8, 3)), count=9)[:4])


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("invocations", [1, 5])
@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 40), (1, 3, 40), (1, 1), ()])
def test_every_manner_keeps_to_the_range(shape: tuple[int, ...], invocations: int, varied: bool):
    signature = Signature(None, (spec(shape),), ())
    manner = Manner(varied, invocations)
    samples = synthetic_samples(signature, {"x": InputHint(2, 6)}, 20, 3, manner)
    assert (samples.count, samples.invocations) == (20, invocations)
    batch = samples.batch(0, 20)
    assert batch["x"].shape == ((20, *shape) if invocations == 1 else (20, 5, *shape))
    assert isinstance(batch, Sequences) == (invocations > 1)
    assert batch["x"].min() >= 2
    assert batch["x"].max() <= 6
    assert batch["x"].std() > 0.2
    np.testing.assert_array_equal(samples.batch(4, 9)["x"], batch["x"][4:9])
    fewer = synthetic_samples(signature, {"x": InputHint(2, 6)}, 7, 3, manner).batch(0, 7)["x"]
    np.testing.assert_array_equal(fewer, batch["x"][:7])


@pytest.mark.parametrize("real", [spec((1, 8, 8, 3), name="a"), spec((1, 40), np.int8, 0.5, name="a")])
def test_several_ranges_give_the_samples_that_each_gives(real: TensorSpec):
    signature = Signature(None, (real, spec((1, 9), np.int32, name="b")), ())
    ranges, hints = [InputHint(-1, 1), InputHint(0, 6), InputHint(-8, 2)], {"b": InputHint(0, 30)}
    made = list(samples_in_ranges(signature, "a", ranges, hints, 5, seed=3))
    for each, samples in zip(ranges, made, strict=True):
        expected = synthetic_samples(signature, {**hints, "a": each}, 5, 3)
        assert samples.source == expected.source
        assert list(samples.inputs) == list(expected.inputs)
        for name, values in expected.batch(0, 5).items():
            np.testing.assert_array_equal(samples.batch(0, 5)[name], values)


def test_inputs_of_one_shape_differ():
    signature = Signature(None, (spec((1, 9), name="a"), spec((1, 9), name="b")), ())
    values = synthetic_samples(signature, {}, 2, 0).batch(0, 2)
    assert not np.array_equal(values["a"], values["b"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 32, 32, 3), (2, 3)),
        ((1, 32, 32, 1), (2, 3)),
        ((1, 3, 32, 32), (3, 4)),
        ((1, 49, 10, 1), (2, 3)),
        ((1, 100, 40), (2,)),
        ((1, 16000), (2,)),
    ],
)
def test_pictures_and_sequences_are_smooth(shape: tuple[int, ...], axes: tuple[int, ...]):
    values = make(spec(shape))
    values = values - values.mean(axis=tuple(range(1, values.ndim)), keepdims=True)
    for axis in axes:
        assert neighbours(values, axis) > 0.4


def test_channels_of_a_picture_have_much_in_common():
    values = make(spec((1, 32, 32, 3)))
    assert np.corrcoef(values[..., 0].ravel(), values[..., 1].ravel())[0, 1] > 0.4


@pytest.mark.parametrize("shape", [(1, 490), (1, 8, 8, 320), (1, 2, 2, 3), (10,), (), (1,)])
def test_other_shapes_are_filled_too(shape: tuple[int, ...]):
    values = make(spec(shape))
    assert values.shape == (16, *shape)
    assert values.std() > 0.1


@given(
    shape=st.lists(st.integers(-1, 6).filter(lambda size: size != 0), max_size=4).map(tuple),
    low=st.floats(-1e3, 1e3),
    width=st.floats(0, 1e3),
)
def test_real_inputs_stay_within_their_range(shape: tuple[int, ...], low: float, width: float):
    values = make(spec(shape, np.float64), InputHint(low, low + width), count=2)
    assert np.isfinite(values).all()
    assert values.min() >= low - 1e-9
    assert values.max() <= low + width + 1e-9


def test_real_inputs_use_much_of_their_range():
    values = make(spec((1, 32, 32, 3)))
    assert -1 <= values.min() < -0.9
    assert 0.9 < values.max() <= 1
    assert 0.3 < values.std() < 0.7
    assert np.mean(np.abs(values) == 1) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_quantised_inputs_use_all_codes(dtype: type):
    limits = np.iinfo(dtype)
    values = make(spec((1, 32, 32, 3), dtype, scale=0.1)).astype(int)
    assert values.min() == limits.min
    assert values.max() == limits.max
    assert abs(values.mean() - (limits.min + limits.max) / 2) < 0.2 * (limits.max - limits.min)


@given(high=st.integers(0, 1000))
def test_indices_keep_to_their_table(high: int):
    values = make(spec((1, 20), np.int32), InputHint(0, high), count=3)
    assert values.min() >= 0
    assert values.max() <= high


def test_indices_reach_both_ends_of_their_table():
    values = make(spec((1, 200), np.int64), InputHint(3, 7))
    assert set(np.unique(values)) == {3, 4, 5, 6, 7}


def test_indices_into_an_unknown_table_are_small():
    assert set(np.unique(make(spec((1, 20), np.int32)))) == {0, 1}


def test_booleans_are_both():
    values = make(spec((1, 20), np.bool_))
    assert values.dtype == np.bool_
    assert 0.3 < values.mean() < 0.7


@pytest.mark.parametrize(
    ("shape", "concrete"),
    [((-1, 8, 8, 1), (1, 8, 8, 1)), ((-1, -1, 40), (1, 16, 40)), ((1, -1), (1, 16)), ((-1,), (1,))],
)
def test_dimensions_of_any_size_become_small(shape: tuple[int, ...], concrete: tuple[int, ...]):
    assert make(spec(shape)).shape == (16, *concrete)


@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 490), 300), ((1, 32, 32, 3), 300), ((1, 224, 224, 3), 100), ((1, 1024, 1024, 3), 100), ((-1, -1), 300)],
)
def test_fewer_samples_are_made_up_of_large_inputs(shape: tuple[int, ...], count: int):
    assert synthetic_count(ModelInterface((Signature(None, (spec((1, 4), name="a"), spec(shape)), ()),))) == count


def test_between_those_the_elements_count():
    assert synthetic_count(ModelInterface((Signature(None, (spec((1, 100_000)),), ()),))) == 150


@pytest.mark.parametrize("inputs", [(), (spec((1, 0)),)], ids=["none", "empty"])
def test_a_model_without_anything_to_take_has_a_count_too(inputs: tuple[TensorSpec, ...]):
    assert synthetic_count(ModelInterface((Signature(None, inputs, ()),))) == 300


@pytest.mark.parametrize("shape", [(0, 6), (1, 0), (1, 0, 16, 3), (1, 16, 16, 0)])
def test_inputs_without_elements(shape: tuple[int, ...]):
    wanted = TensorSpec("x", 0, shape, shape, np.dtype(np.float32), 0.0, 0)
    assert make(wanted, count=3).shape == (3, *shape)


def test_text_cannot_be_made_up():
    with pytest.raises(DataError, match=r"'word' takes text.*give data"):
        make(spec((1, 1), np.bytes_, name="word"))


def test_a_model_without_inputs_is_run_once():
    assert synthetic_samples(Signature(None, (), ()), {}, 8, 0).count == 1


def test_signatures_without_data_get_synthetic_samples():
    interface = ModelInterface((Signature("a", (spec((1, 4)),), ()), Signature("b", (spec((1, 6), np.int32),), ())))
    hints = {"b": {"x": InputHint(5, 5)}}
    samples = gather_samples(interface, np.ones((3, 4), np.float32), hints, 2, 0)
    assert (samples["a"].source, samples["a"].synthetic) == ("3 samples from the array given", False)
    assert (samples["b"].source, samples["b"].synthetic) == ("2 synthetic samples", True)
    assert samples["b"].batch(0, 2)["x"].tolist() == [[[5] * 6]] * 2
    assert all(values.synthetic for values in gather_samples(interface, None, hints, 2, 0).values())


def test_axes_of_shapes_are_those_of_qr() -> None:
    generator = np.random.default_rng(0)
    for axes in (1, 2, 3):
        for directions in generator.standard_normal((50, axes, axes)):
            np.testing.assert_allclose(_turn(directions), np.linalg.qr(directions)[0], atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 16, 20, 3), (1, 3, 16, 16), (1, 40)])
@pytest.mark.parametrize("hint", [None, InputHint(2, 6)])
def test_what_is_made_ahead_gives_the_same_samples(shape: tuple[int, ...], hint: InputHint | None) -> None:
    signature = Signature(None, (spec(shape), spec((1, 4), np.int32, name="y")), ())
    hints = {} if hint is None else {"x": hint}
    ready = plain_noises(signature, 3, 5)
    assert list(ready) == (["x"] if len(shape) == 4 else [])
    plain, ahead = (synthetic_samples(signature, hints, 3, 5, ready=each).batch(0, 3) for each in (None, ready))
    for name in ("x", "y"):
        np.testing.assert_array_equal(plain[name], ahead[name])


def test_what_is_made_ahead_is_not_used_for_other_signals() -> None:
    signature = Signature(None, (spec((1, 16, 16, 3)),), ())
    varied = Manner(varied=True)
    plain, ahead = (
        synthetic_samples(signature, {}, 5, 0, varied, ready).batch(0, 5)["x"]
        for ready in (None, plain_noises(signature, 5, 0))
    )
    np.testing.assert_array_equal(plain, ahead)


def test_probes_are_other_signals_in_the_same_range() -> None:
    signature = Signature(None, (spec((1, 16, 16, 3)),), ())
    hints = {"x": InputHint(2, 6)}
    probes, again = (probe_samples(signature, hints, 60, 0) for _ in range(2))
    values = probes.batch(0, probes.count)["x"]
    np.testing.assert_array_equal(values, again.batch(0, again.count)["x"])
    assert 2 <= values.min() < 2.1
    assert 5.9 < values.max() <= 6
    plain = synthetic_samples(signature, hints, probes.count, 0).batch(0, probes.count)["x"]
    assert not any((each == other).all() for each in values for other in plain)


def test_probes_of_cepstra_are_cepstra() -> None:
    """An impulse or a tone says little of a model that takes nothing of the kind."""
    shape = (1, 49, 10, 1)
    signature = Signature(None, (spec(shape),), ())
    hint = InputHint(-8, 8, next(iter(Cepstra.likely(shape))))
    probes = probe_samples(signature, {"x": hint}, 60, 0)
    values = probes.batch(0, probes.count)["x"].reshape(probes.count, 49, 10)
    for kind in range(5):  # signals of five kinds would take turns
        deviations = values[kind::5].std((0, 1))
        assert deviations[0] > 4 * deviations[1] > 4 * deviations[-1]
