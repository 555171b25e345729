from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_cluster.errors import DataError
from tflite_cluster.interpreter.interface import ModelInterface, Signature, TensorSpec
from tflite_cluster.samples.load import Data, load_samples
from tflite_cluster.samples.samples import Samples, sample_shape


def spec(
    name: str = "image",
    shape: tuple[int, ...] = (1, 4, 4, 3),
    dtype: Any = np.float32,
    scale: float = 0.0,
    zero_point: int = 0,
) -> TensorSpec:
    concrete = tuple(max(size, 1) for size in shape)
    return TensorSpec(name, 0, concrete, shape, np.dtype(dtype), scale, zero_point)


def interface(*inputs: TensorSpec) -> ModelInterface:
    return ModelInterface((Signature("main", inputs, ()),))


def load(data: Data, *inputs: TensorSpec) -> Samples:
    return load_samples(data, interface(*(inputs or (spec(),))))["main"]


def batch(samples: Samples, name: str = "image") -> npt.NDArray[Any]:
    return samples.batch(0, samples.count)[name]


def images(count: int = 5, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, *(shape or (4, 4, 3)))).astype(np.float32)


IMAGES = images()
LABELS = np.arange(5)


def test_an_archive_with_one_array_under_any_name_and_labels(tmp_path: Path):
    np.savez(tmp_path / "data.npz", anything=IMAGES, y=LABELS)
    samples = load(tmp_path / "data.npz")
    assert samples.source == "5 labelled samples from data.npz"
    assert not samples.synthetic
    assert samples.labels is not None
    assert samples.labels.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(batch(samples), IMAGES[:, np.newaxis])
    np.testing.assert_array_equal(samples.batch(1, 3)["image"], IMAGES[1:3, np.newaxis])


def test_an_array_a_mapping_and_a_npy_file_say_the_same(tmp_path: Path):
    np.save(tmp_path / "data.npy", IMAGES)
    for data in (IMAGES, {"x": IMAGES}, tmp_path / "data.npy", str(tmp_path / "data.npy")):
        samples = load(data)
        np.testing.assert_array_equal(batch(samples), IMAGES[:, np.newaxis])
        assert samples.labels is None


def test_a_npy_file_is_mapped_not_read(tmp_path: Path):
    np.save(tmp_path / "data.npy", IMAGES)
    values = load(tmp_path / "data.npy").inputs["image"].values
    assert isinstance(np.asarray(values).base, np.memmap)


def test_one_array_for_each_input(tmp_path: Path):
    np.savez(tmp_path / "data.npz", image=IMAGES, mask=np.ones((5, 16), np.bool_))
    samples = load(tmp_path / "data.npz", spec(), spec("mask", (1, 16), np.bool_))
    assert {name: values.shape for name, values in samples.batch(0, 5).items()} == {
        "image": (5, 1, 4, 4, 3),
        "mask": (5, 1, 16),
    }


def test_an_input_called_y_is_no_label():
    samples = load({"image": IMAGES, "y": IMAGES}, spec(), spec("y"))
    assert samples.labels is None
    assert set(samples.inputs) == {"image", "y"}


def test_a_folder_of_files_is_read_in_order_of_names(tmp_path: Path):
    for number in (2, 0, 1):
        np.save(tmp_path / f"{number}.npy", IMAGES[number])
    samples = load(tmp_path)
    assert samples.source == f"3 samples from {tmp_path.name}"
    np.testing.assert_array_equal(batch(samples), IMAGES[:3, np.newaxis])
    np.testing.assert_array_equal(samples.batch(1, 2)["image"], IMAGES[1:2, np.newaxis])


def test_a_folder_for_each_input_also_if_its_name_has_slashes(tmp_path: Path):
    for name in ("image", "raw/state"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            np.save(tmp_path / name / f"{number}.npy", IMAGES[number])
    samples = load(tmp_path, spec(), spec("raw/state"))
    assert set(samples.inputs) == {"image", "raw/state"}
    assert samples.count == 2


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 4, 3), (4, 4, 3, 1), (48,), (1, 48), (6, 8)])
def test_samples_of_as_many_elements_are_reshaped(shape: tuple[int, ...]):
    values = images(5, *shape)
    np.testing.assert_array_equal(batch(load(values)), values.reshape(5, 1, 4, 4, 3))


@pytest.mark.parametrize(
    ("given_shape", "wanted", "taken"),
    [
        ((9, 7, 3), (1, -1, -1, 3), (1, 9, 7, 3)),
        ((2, 9, 7, 3), (-1, -1, -1, 3), (2, 9, 7, 3)),
        ((8, 8, 1), (-1, 8, 8, 1), (1, 8, 8, 1)),
        ((6,), (-1,), (6,)),
        ((), (1,), (1,)),
        ((9, 7, 2), (1, -1, -1, 3), None),
        ((5,), (1, 4), None),
    ],
)
def test_dimensions_of_any_size_take_the_size_given(
    given_shape: tuple[int, ...], wanted: tuple[int, ...], taken: tuple[int, ...] | None
):
    assert sample_shape(given_shape, spec(shape=wanted)) == taken


def test_real_values_are_quantised_by_the_scale_of_the_input():
    values = np.array([[-9.0, -0.3, 0.0, 0.2, 0.3, 99.0]])
    taken = batch(load(values, spec(shape=(1, 6), dtype=np.int8, scale=0.5, zero_point=-3)))
    assert taken.dtype == np.int8
    assert taken.tolist() == [[[-21, -4, -3, -3, -2, 127]]]


@given(
    codes=st.lists(st.integers(0, 255), min_size=1, max_size=8),
    scale=st.floats(1e-4, 1e4),
    zero_point=st.integers(0, 255),
)
def test_codes_and_their_real_values_are_the_same_samples(codes: list[int], scale: float, zero_point: int):
    wanted = spec(shape=(1, len(codes)), dtype=np.uint8, scale=scale, zero_point=zero_point)
    array = np.array([codes], np.uint8)
    assert batch(load(array, wanted)).tolist() == [[codes]]
    assert batch(load(wanted.dequantise(array), wanted)).tolist() == [[codes]]


@pytest.mark.parametrize(
    ("given_dtype", "wanted", "scale"),
    [
        (np.uint8, np.float32, 0),
        (np.float64, np.float32, 0),
        (np.float16, np.float32, 0),
        (np.int64, np.int32, 0),
        (np.uint8, np.int8, 0.5),
        (np.float32, np.uint8, 0.5),
        (np.bool_, np.float32, 0),
        (np.bool_, np.bool_, 0),
    ],
)
def test_types_that_can_be_cast(given_dtype: Any, wanted: Any, scale: float):
    taken = batch(load(np.ones((2, 3), given_dtype), spec(shape=(1, 3), dtype=wanted, scale=scale)))
    assert taken.dtype == wanted


def test_text_is_passed_on():
    words = np.array([[b"yes"], [b"no"]])
    assert batch(load(words, spec("word", (1, 1), np.bytes_)), "word").tolist() == [[[b"yes"]], [[b"no"]]]


@pytest.mark.parametrize(
    ("data", "wanted", "complaint"),
    [
        (np.zeros((0, 4, 4, 3)), spec(), "there are no samples"),
        (np.zeros((5, 4, 4, 2)), spec(), r"shape \[4, 4, 2\].*'image' of shape \[1, 4, 4, 3\].*first axis.*\(5\)"),
        (np.zeros((4, 4, 3)), spec(), "first axis"),
        (np.zeros((5, 3, 4, 4)), spec(), "axes of a sample be in the input's order"),
        (np.zeros((2, 5, 5, 3)), spec(shape=(1, -1, 4, 3)), r"of shape \[1, any, 4, 3\]"),
        (np.float32(1), spec(), "single number"),
        (np.zeros((2, 3)), spec(shape=(1, 3), dtype=np.int32), "float64 do not fit.*int32.*convert"),
        (np.zeros((2, 3), np.float32), spec(shape=(1, 3), dtype=np.bool_), "float32 do not fit"),
        (np.zeros((2, 3), np.complex64), spec(shape=(1, 3)), "complex64 do not fit"),
        (np.array([["a", "b"]]), spec(shape=(1, 2)), "do not fit"),
        (
            np.array([[1, 2], [3, 300]]),
            spec(shape=(1, 2), dtype=np.uint8, scale=1.0),
            "sample 1.*outside 0 to 255.*codes",
        ),
        (np.array([[1, 2], [-1, 3]]), spec(shape=(1, 2), dtype=np.uint8), "sample 1.*outside 0 to 255"),
        (np.array([[1, 2], [3, np.nan]]), spec(shape=(1, 2)), "sample 1.*NaN"),
        (np.array([[np.inf, 2]]), spec(shape=(1, 2), dtype=np.int8, scale=1.0), "sample 0.*infinity"),
        (np.array([[None, {}]]), spec(shape=(1, 2)), "object do not fit"),
        ({"x": IMAGES, "y": LABELS[:4]}, spec(), "4 labels for 5 samples: give one for each"),
        ({"x": IMAGES, "y": LABELS.astype(float)}, spec(), "whole numbers.*float64"),
        ({"x": IMAGES, "y": np.eye(5, dtype=int)}, spec(), "argmax"),
        ({"x": IMAGES, "y": LABELS - 1}, spec(), "the label of sample 0 is -1, .* counted from 0: give the numbers of"),
        ({"x": IMAGES, "y": np.full(5, 1 << 63, np.uint64)}, spec(), "the label of sample 0 is 9223372036854775808, "),
        ({"a": IMAGES, "b": IMAGES}, spec(), "holds 'a', 'b', and the model takes 'image'"),
        ({"image": IMAGES, "extra": IMAGES}, spec(), "holds 'image', 'extra'"),
        ({"y": LABELS}, spec(), "takes 'image'"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(data: Any, wanted: TensorSpec, complaint: str):
    data = data if isinstance(data, dict) else np.asarray(data)
    with pytest.raises(DataError, match=complaint):
        load(data, wanted)


def scored(*outputs: TensorSpec) -> ModelInterface:
    return ModelInterface((Signature("main", (spec(),), outputs),))


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([0, 1, 4, 5, 9], "the label of sample 3 .* is 5, but output 'b' has 5 classes, 0 to 4: give the numbers of"),
        ([1, 5, 2, 3, 4], "the label of sample 1 .* is 5, .*: subtract 1 from each label"),
    ],
)
def test_labels_of_classes_that_the_model_lacks_are_refused(labels: list[int], complaint: str):
    outputs = (spec("a", (1, 3)), spec("b", (-1, 1, 5), np.int8, 0.1), spec("c", (1, 9, 2)))
    with pytest.raises(DataError, match=rf"^the arrays given, array 'y': {complaint}"):
        load_samples({"x": IMAGES, "y": np.array(labels)}, scored(*outputs))
    assert load_samples({"x": IMAGES, "y": LABELS}, scored(*outputs))["main"].labels is not None


@pytest.mark.parametrize(
    "output", [spec("a", (1, -1)), spec("a", (1, 4, 4)), spec("a", (1, 1)), spec("a", (1, 3), np.int32), spec("a", ())]
)
def test_labels_are_left_to_the_check_where_no_class_is_known_to_be_missing(output: TensorSpec):
    assert load_samples({"x": IMAGES, "y": LABELS + 100}, scored(output))["main"].labels is not None


def test_labels_in_a_column_are_labels():
    samples = load({"x": IMAGES, "y": LABELS[:, np.newaxis]})
    assert samples.labels is not None
    assert samples.labels.shape == (5,)


def test_inputs_must_come_in_equal_numbers():
    with pytest.raises(DataError, match="5 for 'image', 4 for 'mask'"):
        load({"image": IMAGES, "mask": IMAGES[:4]}, spec(), spec("mask"))


def test_a_missing_input_is_named():
    with pytest.raises(DataError, match="'image' and 'mask'"):
        load({"image": IMAGES}, spec(), spec("mask"))


def test_the_archive_and_the_array_are_named(tmp_path: Path):
    np.savez(tmp_path / "data.npz", first=IMAGES[:, :2])
    with pytest.raises(DataError, match=re.escape("data.npz, array 'first': samples of shape [2, 4, 3]")):
        load(tmp_path / "data.npz")


@pytest.mark.parametrize("content", [b"", b"not an array", b"PK\x03\x04 half an archive", b"\x93NUMPY\x01\x00"])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "data.npz"))):
        load(tmp_path / "data.npz")


def test_a_damaged_archive_is_refused(tmp_path: Path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=IMAGES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path))):
        load(path)


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("name", ["data.npy", "data.npz", "data.pkl"])
def test_pickles_are_never_run(tmp_path: Path, name: str):
    path = tmp_path / name
    array = np.array([Bomb()], dtype=object)
    if name == "data.npy":
        np.save(path, array, allow_pickle=True)
    elif name == "data.npz":
        np.savez(path, x=array)
    else:
        path.write_bytes(pickle.dumps(array))
    with pytest.raises(DataError, match=re.escape(str(path))):
        load(path)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "absent.npz")
    with pytest.raises(DataError, match=r"no \.npy files"):
        load(tmp_path)


def test_files_of_a_folder_must_be_alike(tmp_path: Path):
    np.save(tmp_path / "a.npy", IMAGES[0])
    np.save(tmp_path / "b.npy", IMAGES[0, :2])
    with pytest.raises(DataError, match=r"b\.npy: float32 of shape \[2, 4, 3\].*a\.npy"):
        load(tmp_path)


TWO = ModelInterface((Signature("encode", (spec("x"),), ()), Signature("decode", (spec("z", (1, 8)),), ())))


def test_samples_go_to_the_signature_that_names_them():
    assert set(load_samples({"z": images(3, 8)}, TWO)) == {"decode"}
    both = load_samples({"z": images(3, 8), "x": IMAGES}, TWO)
    assert {key: samples.count for key, samples in both.items()} == {"encode": 5, "decode": 3}


def test_an_array_without_a_name_goes_where_it_fits():
    assert set(load_samples(images(3, 8), TWO)) == {"decode"}
    assert set(load_samples(IMAGES, TWO)) == {"encode"}
    with pytest.raises(DataError, match="do not fit the input 'x'"):
        load_samples(images(3, 9), TWO)


def test_a_named_array_must_fit_every_signature_that_names_it():
    one_name = ModelInterface((Signature("a", (spec("x"),), ()), Signature("b", (spec("x", (1, 8)),), ())))
    with pytest.raises(DataError, match="do not fit"):
        load_samples({"x": IMAGES}, one_name)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A few kilobytes that say of themselves that they become much more."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, image=np.zeros((2000, 4, 4, 3), np.float32))
    monkeypatch.setattr("tflite_cluster.samples.load.MOST_UNPACKED", 100_000)
    with pytest.raises(DataError, match=r"holds 384,\d+ bytes unpacked, and 100,000 are read at most; give a \.npy"):
        load(path)


def test_numbers_that_the_input_cannot_hold_are_refused():
    values = IMAGES.astype(np.float64)
    values[3, 0, 0, 0] = 1e300
    with pytest.raises(DataError, match=r"sample 3 .* NaN, infinity or more than 3\.4e\+38"):
        load(values)
