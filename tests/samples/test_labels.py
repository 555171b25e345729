"""The class of each sample: from tables, class folders and the label file behind a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.given_samples import EXAMPLE, FIXTURES

from tflite_cluster import DataError
from tflite_cluster.model.label_file import class_names
from tflite_cluster.model.read import open_model
from tflite_cluster.samples.labels import label_files, load_label_array


def test_class_names_find_their_numbers(tmp_path: Path) -> None:
    files = [tmp_path / name / "a.png" for name in ("Tabby Cat", "dog")]
    _, labels, words = label_files(tmp_path, files, None, ["background", "dog", "tabby_cat"], {3})
    assert labels is not None
    assert labels.tolist() == [2, 1]
    assert "label file" in words
    _, labels, words = label_files(tmp_path, files, None, ["dog", "dog", "tabby cat"], {2})
    assert labels is not None
    assert labels.tolist() == [0, 1]
    assert "order of the 2 folders' names" in words
    _, labels, words = label_files(tmp_path, files, None, ["dog", "dog", "tabby cat"], {3})
    assert labels is None
    assert words == "no labels: the folder 'dog' does not stand just once in the model's label file"
    _, labels, words = label_files(tmp_path, files, None, [], {3})
    assert labels is None
    assert words == "no labels: there are 2 class folders, and no output has as many classes"


def test_files_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    assert label_files(tmp_path, [tmp_path / "a.png", tmp_path / "x" / "b.png"], None, [], {2})[1] is None
    assert label_files(tmp_path, [tmp_path / "all" / "a.png"], None, [], {1})[1] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a.png", "'a.png' has no label"),
        ("b.png,1", "no file 'b.png'"),
        ("file,label", "no labels in it"),
        ("a.png,cat", "'cat' is no number"),
        ("a.png,1\na.png,2", "'a.png' has two labels, 1 and 2"),
    ],
)
def test_tables_that_cannot_be_taken(content: str, words: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        label_files(tmp_path, [tmp_path / "a.png"], table, ["dog"], {2})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00\x06\x00{'''", b"no array"])
def test_arrays_that_cannot_be_taken(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.npy: not a \.npy file"):
        load_label_array(path)


def test_label_file_behind_a_model() -> None:
    assert len(class_names(open_model(FIXTURES / "labels_behind_float32.tflite"))) > 1
    assert class_names(open_model(EXAMPLE)) == ()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_hostile_archive_is_only_passed_over(data: st.DataObject) -> None:
    content = bytearray((FIXTURES / "labels_behind_float32.tflite").read_bytes())
    model = open_model(bytes(content))
    for place in data.draw(st.lists(st.integers(len(content) - 200, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    class_names(replace(model, data=memoryview(bytes(content))))
