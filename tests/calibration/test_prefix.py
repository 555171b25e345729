"""The beginning of a model, run alone, gives what it gives in the whole model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER, MODELS

from tflite_cluster.calibration.gather import probe_of
from tflite_cluster.calibration.moments import observe
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.interpreter.worker import describe
from tflite_cluster.model.layers import find_layer
from tflite_cluster.model.prefix import prefix
from tflite_cluster.model.read import Model, Tensor, open_model
from tflite_cluster.model.select import select
from tflite_cluster.samples.samples import Samples
from tflite_cluster.samples.synthetic import gather_samples

CANNOT_RUN = {"custom_operator_float32", "dequantize_bfloat16", "cast_bfloat16", "string_input_float32"}


@pytest.fixture(scope="module")
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=60, memory=4 << 30)) as started:
        yield started


def keys(model: Model) -> list[str | None]:
    return list(model.signatures) or [None]


def observed(model: Model, key: str | None) -> list[Tensor]:
    """What layers of a signature take of other operators."""
    graph = model.subgraph_of(key)
    layers = (find_layer(model, weight) for weight in select(model)[0])
    inputs = {layer.input for layer in layers if layer is not None and layer.operator.subgraph == graph.index}
    return [graph.tensors[index] for operator in graph.operators for index in operator.outputs if index in inputs]


def run_prefix(path: Path, edits: Mapping[int, bytes], key: str | None, samples: Samples, tensor: Tensor) -> np.ndarray:
    cut = OpenModel(path, Kernels.DEFAULT, threads=1, edits=edits)
    given = cut.run(key, {name: values[0] for name, values in samples.batch(0, 1).items()})
    assert len(given) == (1 if key is None else 0)
    return probe_of(tensor).read(cut).reshape(-1)


SEVERAL_LAYERS = [
    path
    for path in MODELS
    if path.stem not in CANNOT_RUN and any(observed(open_model(path), key) for key in keys(open_model(path)))
]


@pytest.mark.parametrize("path", SEVERAL_LAYERS, ids=lambda path: path.stem)
def test_what_a_layer_takes_is_what_it_is_in_the_whole_model(process: InterpreterProcess, path: Path) -> None:
    model = open_model(path)
    for key, samples in gather_samples(process.call(describe, path), None, {}, 1, 0).items():
        tensors = observed(model, key)
        probes = [probe_of(tensor) for tensor in tensors]
        (whole,) = process.call(observe, path, key, samples.batch(0, 1), probes, Kernels.DEFAULT, 1)
        for tensor, expected in zip(tensors, whole, strict=True):
            edits = prefix(model, tensor)
            assert edits
            np.testing.assert_array_equal(run_prefix(path, edits, key, samples, tensor), expected)


def test_it_ends_where_its_tensor_is_written(process: InterpreterProcess) -> None:
    path = FOLDER / "two_ways_float32.tflite"
    model = open_model(path)
    ((key, samples),) = gather_samples(process.call(describe, path), None, {}, 1, 0).items()
    first, *_, last = observed(model, key)
    cut = OpenModel(path, Kernels.NO_DELEGATE, threads=1, preserve_all_tensors=True, edits=prefix(model, first))
    cut.run(key, {name: values[0] for name, values in samples.batch(0, 1).items()})
    with pytest.raises(InterpreterFailure):
        cut.tensor(last.index)


def test_the_file_itself_stays_as_it_is() -> None:
    path = FOLDER / "two_ways_float32.tflite"
    before, model = path.read_bytes(), open_model(path)
    for tensor in observed(model, None):
        OpenModel(path, Kernels.DEFAULT, threads=1, edits=prefix(model, tensor))
    assert path.read_bytes() == before


def test_inputs_and_metadata_that_order_operators_leave_the_model_whole() -> None:
    model = open_model(FOLDER / "two_ways_float32.tflite")
    (start,), tensor = model.subgraphs[0].inputs, observed(model, None)[0]
    assert prefix(model, tensor)
    assert prefix(model, model.subgraphs[0].tensors[start]) == {}
    model.metadata[0] = "model_control_dependencies"
    assert prefix(model, tensor) == {}
