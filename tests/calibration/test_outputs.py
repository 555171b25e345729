"""What candidates are judged by: the outputs, what softmax and choices are made of, and how much of it is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operators import after_dense, convolution

from tflite_cluster import cluster
from tflite_cluster.calibration.moments import Probe
from tflite_cluster.calibration.outputs import Look, Output, outputs_of
from tflite_cluster.model.read import Model, Operator, Subgraph, Tensor, open_model
from tflite_cluster.model.verify import Span

PROBE = Probe(0, 0)
MOST = 8192
ARG_MAX = 56


@given(st.lists(st.integers(0, 40), max_size=3), st.booleans())
def test_small_tensors_are_seen_whole(shape: list[int], by_last_axis: bool) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    if values.size > MOST:
        return
    seen = Look(PROBE, by_last_axis).some(values)
    np.testing.assert_array_equal(seen.reshape(-1), values.reshape(-1))
    assert seen.ndim == 2
    if by_last_axis and values.size and values.ndim:
        assert seen.shape[1] == values.shape[-1]
    else:
        assert len(seen) == 1


@given(st.integers(MOST + 1, 100_000), st.integers(0, 2**32))
def test_of_large_tensors_the_same_elements_are_seen_each_time(size: int, seed: int) -> None:
    places = Look(PROBE, by_last_axis=False).some(np.arange(size, dtype=np.float32)).astype(int)
    assert places.shape == (1, MOST)
    assert np.all(np.diff(places) > 0)
    values = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    np.testing.assert_array_equal(Look(PROBE, by_last_axis=False).some(values.reshape(1, size)), values[places])


@pytest.mark.parametrize("classes", [2, 21, 1001, MOST + 1])
def test_class_scores_of_many_places_stay_together(classes: int) -> None:
    places = 3 * MOST // classes + 2
    values = np.arange(places * classes, dtype=np.float32).reshape(1, places, classes)
    seen = Look(PROBE, by_last_axis=True).some(values)
    assert seen.shape == (max(MOST // classes, 1), classes)
    np.testing.assert_array_equal(np.diff(seen, axis=1), 1)
    assert np.all(seen[:, 0] % classes == 0)


# Graphs of tensors 0, 1, 2, …, of which 0 is the input and 9 a constant.


def outputs(
    *operators: tuple[str, tuple[int, ...], int], ends: tuple[int, ...], kinds: dict[int, str] | None = None
) -> list[tuple[int, bool]]:
    made = tuple(
        Operator(0, number, name, name.startswith("TFLite"), sources, (output,), None)
        for number, (name, sources, output) in enumerate(operators)
    )
    tensors = tuple(
        Tensor(0, index, f"t{index}", (1, 4), (kinds or {}).get(index, "FLOAT32"), 0, None, False, False, 0)
        for index in range(10)
    )
    model = Model("m", memoryview(b""), (Subgraph(0, "g", tensors, made, (0,), ends),), (Span(0, 0),), {}, {})
    return [(output.tensor.index, output.is_logits) for output in outputs_of(model, None)]


def test_an_output_is_what_it_is() -> None:
    assert outputs(("TANH", (0,), 1), ends=(1,)) == [(1, False)]
    assert outputs(("TANH", (0,), 1), ("NEG", (1,), 2), ends=(2, 1)) == [(2, False), (1, False)]
    assert outputs(ends=(0,)) == [(0, False)]


def test_before_a_softmax() -> None:
    assert outputs(("TANH", (0,), 1), ("SOFTMAX", (1,), 2), ("RESHAPE", (2,), 3), ends=(3,)) == [(1, True)]
    assert outputs(("TANH", (0,), 1), ("SOFTMAX", (1,), 2), ("NEG", (2,), 3), ends=(3,)) == [(3, False)]


def test_before_a_choice() -> None:
    scores = ("TANH", (0,), 1)
    assert outputs(scores, ("ARG_MAX", (1, 9), 2), ("CAST", (2,), 3), ends=(3,)) == [(1, False)]
    assert outputs(scores, ("SOFTMAX", (1,), 2), ("ARG_MAX", (2, 9), 3), ends=(3,)) == [(1, False)]
    assert outputs(scores, ("ARG_MAX", (1, 9), 2), ends=(2, 1)) == [(1, False), (1, False)]


def test_all_that_a_choice_is_made_of() -> None:
    boxes, scores = ("NEG", (0,), 1), ("TANH", (0,), 2)
    detection = ("TFLite_Detection_PostProcess", (1, 4, 9), 5)
    assert outputs(boxes, scores, ("LOGISTIC", (2,), 4), detection, ends=(5,)) == [(1, False), (2, False)]
    chosen = ("NON_MAX_SUPPRESSION_V5", (1, 2, 9), 3)
    masks, picked = ("RELU", (0,), 4), ("GATHER", (4, 3), 5)
    assert outputs(boxes, scores, chosen, masks, picked, ends=(5,), kinds={3: "INT32"}) == [
        (4, False),
        (1, False),
        (2, False),
    ]


def test_a_choice_that_layers_come_after_is_judged_by_the_output() -> None:
    first = (("TANH", (0,), 1), ("ARG_MAX", (1, 9), 2))
    for after in ("FULLY_CONNECTED", "WHILE", "TFLite_Unknown"):
        assert outputs(*first, (after, (2, 9), 3), ends=(3,), kinds={2: "INT32"}) == [(3, False)]


def test_a_choice_among_constants_is_judged_by_the_output() -> None:
    assert outputs(("ARG_MAX", (9, 9), 2), ends=(2,)) == [(2, False)]
    assert outputs(("ARG_MAX", (0, 9), 2), ends=(2,)) == [(2, False)]


def test_a_class_is_judged_by_its_scores(tmp_path: Path) -> None:
    path = tmp_path / "class.tflite"
    path.write_bytes(after_dense(ARG_MAX, (1,), np.array(1, np.int32)))
    model = open_model(path)
    assert outputs_of(model, None) == [Output(model.subgraphs[0].tensors[2], is_logits=False)]


def test_large_outputs_are_searched_by_some_of_their_elements(tmp_path: Path) -> None:
    path = tmp_path / "picture.tflite"
    path.write_bytes(convolution((1, 64, 64, 3), (16, 3, 3, 3), (1, 64, 64, 16), same=True))
    result = cluster(path)
    assert result.strategy.search is not None
    assert result.strategy.search.chosen is not None
    assert 20 < result.strategy.search.chosen.quality.sqnr == pytest.approx(result.fidelity.outputs[0].sqnr_db, abs=1)
