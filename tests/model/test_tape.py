"""The way back from the outputs: which layers have gradients, and which do not."""

from __future__ import annotations

import pytest
from support.fixture_models import FOLDER, MODELS

from tflite_cluster.model.groups import Groups
from tflite_cluster.model.layer import Layer
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.outputs import outputs_of
from tflite_cluster.model.read import Model, Operator, Subgraph, Tensor, open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.tape import record
from tflite_cluster.model.verify import Span


def layers_of(model: Model) -> list[Layer]:
    found = (find_layer(model, weight) for weight in select(model)[0])
    return [layer for layer in found if layer is not None and layer.operator.subgraph == 0]


def reached(name: str) -> int:
    model = open_model(FOLDER / f"{name}.tflite")
    seeds = [output.tensor.index for output in outputs_of(model, None)]
    return len(record(model, 0, seeds, layers_of(model)).kept)


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_all_layers_of_two_ways_are_reached(storage: str) -> None:
    assert reached(f"two_ways_{storage}") == 6


@pytest.mark.parametrize(
    "name", ["bidirectional_sequence_rnn_float32", "transpose_conv_float32", "conv_2d_int4", "fully_connected_int4"]
)
def test_there_is_no_way_back_through_what_is_not_known(name: str) -> None:
    assert layers_of(open_model(FOLDER / f"{name}.tflite"))
    assert reached(name) == 0


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_step_leads_to_a_wanted_layer_or_is_one(path: object) -> None:
    model = open_model(path)  # type: ignore[arg-type]
    seeds = [output.tensor.index for output in outputs_of(model, None)]
    tape = record(model, 0, seeds, layers_of(model))
    for step in tape.steps:
        assert step.keeps or step.onward or step.output.index in seeds
        assert all(step.operands[place] is not None for place in step.onward)


# Graphs of tensors 0, 1, 2, …, of which the layer puts out the first.


def tensor(index: int, kind: str = "FLOAT32") -> Tensor:
    return Tensor(0, index, f"t{index}", (1, 4), kind, 0, None, False, False, 0)


def kept(
    *operators: tuple[str, tuple[int, ...], int], kinds: dict[int, str] | None = None, seeds: tuple[int, ...]
) -> int:
    made = tuple(
        Operator(0, number + 1, name, False, sources, (output,), None)
        for number, (name, sources, output) in enumerate(operators)
    )
    layer = Layer("pixels", Operator(0, 0, "FULLY_CONNECTED", False, (9,), (0,), None), 9, 0, Groups(1, 4, 4), 4)
    tensors = tuple(tensor(index, (kinds or {}).get(index, "FLOAT32")) for index in range(10))
    # The layer's own operator has no options, so that it is no step; another of a plain kind stands for it.
    first = Operator(0, 0, "TANH", False, (9,), (0,), None)
    graph = Subgraph(0, "g", tensors, (first, *made), (9,), seeds)
    model = Model("m", memoryview(b""), (graph,), (Span(0, 0),), {}, {})
    return len(record(model, 0, seeds, [layer]).kept)


def test_a_chain() -> None:
    assert kept(("TANH", (0,), 1), ("NEG", (1,), 2), seeds=(2,)) == 1


def test_one_way_that_is_not_known_spoils_the_others() -> None:
    assert kept(("TANH", (0,), 1), ("CUMSUM", (0,), 2), seeds=(1,)) == 1  # leads nowhere
    assert kept(("TANH", (0,), 1), ("CUMSUM", (0,), 2), seeds=(1, 2)) == 0
    assert kept(("CUMSUM", (0,), 1), ("TANH", (0,), 2), seeds=(1, 2)) == 0
    assert kept(("CUMSUM", (0,), 1), ("TANH", (1,), 2), seeds=(2,)) == 0


def test_an_output_in_the_middle_counts_too() -> None:
    assert kept(("CUMSUM", (0,), 1), seeds=(0,)) == 1
    assert kept(("CUMSUM", (0,), 1), seeds=(0, 1)) == 0


def test_shapes_and_indices_carry_no_gradient() -> None:
    way = ("SHAPE", (0,), 1), ("RESHAPE", (0, 1), 2)
    assert kept(*way, kinds={1: "INT32"}, seeds=(2,)) == 1
    assert kept(("ARG_MAX", (0,), 1), ("TANH", (0,), 2), ("CAST", (1,), 3), kinds={1: "INT64"}, seeds=(2, 3)) == 1


def test_computed_weights_are_not_known() -> None:
    assert kept(("TANH", (0,), 1), ("PRELU", (0, 1), 2), seeds=(2,)) == 0


def test_types_that_cannot_be_read_are_not_known() -> None:
    assert kept(("TANH", (0,), 1), kinds={1: "COMPLEX64"}, seeds=(1,)) == 0


def test_tensors_that_are_written_twice_are_not_known() -> None:
    assert kept(("TANH", (0,), 1), ("TANH", (0,), 1), seeds=(1,)) == 0
    assert kept(("NEG", (9,), 0), ("TANH", (0,), 1), seeds=(1,)) == 0


def test_operators_without_operands_do_no_harm() -> None:
    assert kept(("TANH", (0,), 1), ("DEQUANTIZE", (), 3), ("NEG", (), 4), seeds=(1, 4)) == 1


def test_what_ends_nowhere_is_not_reached() -> None:
    assert kept(("TANH", (0,), 1), ("TANH", (8,), 2), seeds=(2,)) == 0
