from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crafting import Table, craft
from support.fixture_models import FOLDER, MODELS

from tflite_cluster.model.read import open_model
from tflite_cluster.samples.hints import input_hints, shape_read
from tflite_cluster.samples.synthetic import InputHint

ADD, EMBEDDING_LOOKUP, RESHAPE, GATHER, QUANTIZE = 0, 7, 22, 36, 114
INT8 = 9


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def hints_of(tensors: list[Table], operators: list[tuple[int, list[int], list[int]]], **parts: object) -> dict:
    """Hints for a graph whose tensor 0 is its input."""
    return dict(input_hints(open_model(crafted(tensors, operators, **parts))))


def crafted(tensors: list[Table], operators: list[tuple[int, list[int], list[int]]], **parts: object) -> bytes:
    codes = [code for code, _, _ in operators]
    tables = [
        {"opcode_index": number, "inputs": ints(*inputs), "outputs": ints(*outputs)}
        for number, (_, inputs, outputs) in enumerate(operators)
    ]
    content = {
        "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code} for code in codes],
        "subgraphs": [{"tensors": tensors, "inputs": ints(0), "operators": tables}],
        "buffers": [{}],
    }
    return craft(content | parts)


X = {"name": b"x", "shape": ints(1, 4)}
TABLE = {"name": b"table", "shape": ints(64, 16)}


@pytest.mark.parametrize(
    ("code", "inputs"), [(EMBEDDING_LOOKUP, [0, 1]), (GATHER, [1, 0])], ids=["EMBEDDING_LOOKUP", "GATHER"]
)
def test_indices_go_as_far_as_the_table(code: int, inputs: list[int]) -> None:
    assert hints_of([X, TABLE, {}], [(code, inputs, [2])]) == {None: {"x": InputHint(0, 63)}}


@pytest.mark.parametrize(("axis", "last"), [(0, 63), (1, 15), (-1, 15), (-2, 63)])
def test_indices_go_as_far_as_the_axis_that_is_gathered_along(axis: int, last: int) -> None:
    operator = {"inputs": ints(1, 0), "outputs": ints(2), "builtin_options": (23, {"axis": axis})}
    content = {
        "operator_codes": [{"deprecated_builtin_code": GATHER, "builtin_code": GATHER}],
        "subgraphs": [{"tensors": [X, TABLE, {}], "inputs": ints(0), "operators": [operator]}],
        "buffers": [{}],
    }
    assert dict(input_hints(open_model(craft(content)))) == {None: {"x": InputHint(0, last)}}


def test_the_smaller_of_two_tables_counts() -> None:
    small = {"name": b"small", "shape": ints(10, 16)}
    lookups = [(EMBEDDING_LOOKUP, [0, 1], [3]), (EMBEDDING_LOOKUP, [0, 2], [3])]
    assert hints_of([X, TABLE, small, {}], lookups)[None]["x"] == InputHint(0, 9)


def test_values_are_followed_through_a_change_of_shape() -> None:
    operators = [(RESHAPE, [0], [2]), (EMBEDDING_LOOKUP, [2, 1], [3])]
    assert hints_of([X, TABLE, {}, {}], operators)[None]["x"] == InputHint(0, 63)
    assert hints_of([X, TABLE, {}, {}], [(ADD, [0], [2]), operators[1]])[None] == {}


def test_the_shape_read_is_the_one_with_most_sides() -> None:
    wide = {"name": b"wide", "shape": ints(1, 2, 2, 1)}
    other = {"name": b"other", "shape": ints(1, 1, 2, 2, 2)}

    def read(*operators: tuple[int, list[int], list[int]]) -> tuple[int, ...]:
        return shape_read(open_model(crafted([X, wide, other], list(operators))).subgraphs[0], 0)

    assert read((RESHAPE, [0], [1])) == (1, 2, 2, 1)
    assert read((RESHAPE, [0], [1]), (ADD, [1], [2])) == (1, 2, 2, 1)
    assert read((ADD, [0], [1])) == (1, 4)


def test_a_real_input_has_the_range_that_it_is_quantised_to() -> None:
    quantization = {"scale": np.array([0.5], np.float32), "zero_point": np.array([-28], np.int64)}
    codes = {"type": INT8, "quantization": quantization}
    assert hints_of([X, codes], [(QUANTIZE, [0], [1])])[None]["x"] == InputHint(-50.0, 77.5)
    per_channel = {"scale": np.ones(2, np.float32), "zero_point": np.zeros(2, np.int64)}
    assert hints_of([X, codes | {"quantization": per_channel}], [(QUANTIZE, [0], [1])])[None] == {}


@pytest.mark.parametrize(
    ("tensors", "operators"),
    [
        ([X], [(EMBEDDING_LOOKUP, [0], [])]),
        ([X, TABLE], [(EMBEDDING_LOOKUP, [0, -1], [])]),
        ([X, {"shape": ints()}], [(EMBEDDING_LOOKUP, [0, 1], [])]),
        ([X, {"shape": ints(0, 4)}], [(EMBEDDING_LOOKUP, [0, 1], [])]),
        ([X], [(QUANTIZE, [0], [])]),
        ([X], [(QUANTIZE, [0], [-1])]),
    ],
)
def test_a_graph_that_tells_nothing(tensors: list[Table], operators: list[tuple[int, list[int], list[int]]]) -> None:
    assert hints_of(tensors, operators) == {None: {}}


def test_each_signature_has_hints_of_its_own() -> None:
    names = [{"name": b"words", "tensor_index": 0}]
    signatures = [{"signature_key": b"look_up", "inputs": names, "outputs": [], "subgraph_index": 0}]
    found = hints_of([X, TABLE, {}], [(EMBEDDING_LOOKUP, [0, 1], [2])], signature_defs=signatures)
    assert found == {None: {"x": InputHint(0, 63)}, "look_up": {"words": InputHint(0, 63)}}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_hints_of_fixtures_are_ranges(path: Path) -> None:
    for hints in input_hints(open_model(path)).values():
        assert all(hint.low < hint.high for hint in hints.values())


def test_fixtures_with_tables() -> None:
    for name in ("embedding_lookup_float32", "tied_embedding_float32"):
        hints = input_hints(open_model(FOLDER / f"{name}.tflite"))
        assert InputHint(0, 63) in [hint for each in hints.values() for hint in each.values()]


@pytest.mark.parametrize("scale", [np.inf, np.nan, 0.0, -1.0])
def test_a_scale_that_cannot_be_one_tells_no_range(scale: float) -> None:
    parameters = {"scale": np.array([scale], np.float32), "zero_point": np.array([0], np.int64)}
    codes = {"type": INT8, "quantization": parameters}
    assert hints_of([X, codes], [(QUANTIZE, [0], [1])]) == {None: {}}
