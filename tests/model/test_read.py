from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.crafting import Table, craft
from support.fixture_models import FOLDER

from tflite_cluster.errors import ModelError
from tflite_cluster.model.read import Model, Tensor, open_model


def read(name: str) -> Model:
    return open_model(FOLDER / f"{name}.tflite")


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def crafted(tensor: Table, **graph: Any) -> bytes:
    """A model of one operator code, two tensors and two buffers."""
    graph = {"tensors": [tensor, {}]} | graph
    return craft({"operator_codes": [{}], "subgraphs": [graph], "buffers": [{}, {"data": b"12345678"}]})


def tensor_of(tensor: Table) -> Tensor:
    return open_model(crafted(tensor)).tensors[0]


def test_a_file_and_its_bytes_read_the_same() -> None:
    path = FOLDER / "conv_2d_int8.tflite"
    mapped, given = open_model(path), open_model(path.read_bytes())
    assert mapped.label == path.name
    assert mapped.data == given.data
    assert mapped.buffers == given.buffers
    assert [tensor.name for tensor in mapped.tensors] == [tensor.name for tensor in given.tensors]


def test_tensors_and_their_quantisation() -> None:
    convolution = read("conv_2d_int8").subgraphs[0]
    (operator,) = (operator for operator in convolution.operators if operator.name == "CONV_2D")
    weights = convolution.tensors[operator.inputs[1]]
    assert (weights.type, weights.is_sparse, weights.is_variable) == ("INT8", False, False)
    assert weights.stored == np.prod(weights.shape)
    assert weights.quantization is not None
    assert weights.quantization.axis == 0
    assert weights.quantization.scale.shape == (weights.shape[0],)
    assert (weights.quantization.scale > 0).all()


def test_what_is_absent_is_empty() -> None:
    model = open_model(craft({"subgraphs": [{"tensors": [{}], "operators": []}], "buffers": [{}]}))
    assert model.tensors[0].shape == ()
    assert model.tensors[0].quantization is None
    assert (model.subgraphs[0].inputs, model.signatures, model.metadata) == ((), {}, {})


def test_all_subgraphs_and_custom_operators_are_read() -> None:
    assert len(read("while_body_float32").subgraphs) > 2
    assert [(op.name, op.is_custom) for op in read("custom_operator_float32").subgraphs[0].operators] == [
        ("FULLY_CONNECTED", False),
        ("NobodyKnowsThis", True),
    ]


def test_signatures_name_the_inputs_of_their_subgraph() -> None:
    model = read("two_signatures_float32")
    assert len(model.signatures) == 2
    for signature in model.signatures.values():
        graph = model.subgraphs[signature.subgraph]
        assert set(signature.tensors.values()) == set(graph.inputs)


def test_weights_behind_the_flatbuffer_are_found() -> None:
    model = read("outside_float32")
    spans = [model.buffers[tensor.buffer] for tensor in model.tensors if model.buffers[tensor.buffer].size]
    assert len(spans) == 2
    for span in spans:
        values = np.frombuffer(model.bytes_of(span), np.float32)
        assert 0 < np.abs(values).max() < 10


def test_a_sparse_tensor_knows_how_much_it_stores() -> None:
    (tensor,) = (tensor for tensor in read("sparse_float32").tensors if tensor.is_sparse)
    assert 0 < tensor.stored < np.prod(tensor.shape)


def test_a_name_that_is_not_utf8_can_be_read() -> None:
    assert tensor_of({"name": b"caf\xe9"}).name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_type_that_is_not_known_gets_a_name() -> None:
    assert tensor_of({"type": 99}).type == "TYPE_99"


def test_a_blockwise_quantisation_names_its_tensors() -> None:
    quantization = tensor_of({"quantization": {"details": (2, {"scales": 1})}}).quantization
    assert quantization is not None
    assert quantization.blockwise
    assert quantization.details_tensors == (1,)


def dense(*sizes: int) -> list[Table]:
    return [{"format": 0, "dense_size": size} for size in sizes]


def compressed(*segments: int) -> Table:
    return {"format": 1, "array_segments": (1, {"values": ints(*segments)})}


def sparsity(*levels: Table) -> Table:
    return {"sparsity": {"dim_metadata": list(levels)}}


def test_the_levels_of_a_sparse_tensor_are_counted() -> None:
    assert tensor_of(sparsity(*dense(2), compressed(0, 3, 5), *dense(4))).stored == 20


@pytest.mark.parametrize(
    "tensor",
    [
        sparsity(*dense(-1), {"format": 1}),
        sparsity(*dense(2, -3)),
        sparsity(*dense(2), compressed(0, 3)),
        sparsity(*dense(2), compressed(0, 3, -5)),
        sparsity({"format": 1, "array_segments": (7, None)}),
        sparsity(*[{"format": 0, "dense_size": 2**31 - 1}] * 200),
    ],
    ids=["negative", "negative product", "too few segments", "negative end", "no such vector", "too many levels"],
)
def test_a_lying_sparsity_is_refused(tensor: Table) -> None:
    with pytest.raises(ModelError, match=r"sparsity .* contradicts itself"):
        open_model(crafted(tensor) + bytes(10_000))


@pytest.mark.parametrize(
    ("tensor", "graph", "why"),
    [
        ({"buffer": 2}, {}, "the buffer of tensor"),
        ({"buffer": 2**32 - 1}, {}, "the buffer of tensor"),
        ({"quantization": {"details": (2, None)}}, {}, "not described"),
        ({"quantization": {"details": (2, {"scales": 2})}}, {}, "quantisation scales"),
        (
            {"quantization": {"scale": np.ones(3, np.float32), "zero_point": np.zeros(2, np.int64)}},
            {},
            "3 scales but 2 zero points",
        ),
        ({"shape": np.ones(65, np.int32)}, {}, "65 dimensions"),
        ({}, {"inputs": ints(2)}, "a graph input or output"),
        ({}, {"outputs": ints(-1)}, "a graph input or output"),
        ({}, {"operators": [{"opcode_index": 1}]}, "an operator code"),
        ({}, {"operators": [{"inputs": ints(-2)}]}, "an input of ADD"),
        ({}, {"operators": [{"outputs": ints(0, 2)}]}, "an output of ADD"),
    ],
)
def test_an_index_out_of_range_is_refused(tensor: Table, graph: Table, why: str) -> None:
    with pytest.raises(ModelError, match=f"the given bytes: .*{why}"):
        open_model(crafted(tensor, **graph))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"metadata": [{"name": b"m", "buffer": 1}]}, "metadata buffer"),
        ({"signature_defs": [{"subgraph_index": 1}]}, "a signature"),
        ({"signature_defs": [{"inputs": [{"tensor_index": 0}]}]}, "an input of a signature"),
        ({"subgraphs": []}, "holds no subgraph"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(part: Table, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        open_model(craft({"subgraphs": [{}], "buffers": [{}]} | part))


def test_a_custom_operator_by_its_new_code_alone_is_no_builtin() -> None:
    code = {"builtin_code": 32, "custom_code": b"TFLM_DECODE"}
    graph = {"tensors": [{}], "operators": [{"opcode_index": 0, "inputs": ints(0), "outputs": ints(0)}]}
    model = open_model(craft({"operator_codes": [code], "subgraphs": [graph], "buffers": [{}]}))
    (operator,) = model.subgraphs[0].operators
    assert (operator.name, operator.is_custom) == ("TFLM_DECODE", True)
