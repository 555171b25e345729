"""What candidates are judged by: the outputs, and what softmax and choices are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.operators import after_dense

from tflite_cluster.model.outputs import Output, outputs_of
from tflite_cluster.model.read import Model, Operator, Subgraph, Tensor, open_model
from tflite_cluster.model.verify import Span

ARG_MAX = 56

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


def test_damaged_graphs_do_no_harm() -> None:
    assert outputs(("RESHAPE", (), 1), ends=(1,)) == [(1, False)]
    assert outputs(("TANH", (0,), 1), ("SOFTMAX", (-1,), 2), ends=(2,)) == [(2, False)]
    assert outputs(("RESHAPE", (2,), 1), ("RESHAPE", (1,), 2), ends=(2,)) == [(2, False)]
    assert outputs(("TANH", (0,), 1), ("ARG_MAX", (1, -1), -1), ("NEG", (1, -1), 3), ends=(3,)) == [(3, False)]
    assert outputs(("ARG_MAX", (2,), 2), ends=(2,)) == [(2, False)]


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
