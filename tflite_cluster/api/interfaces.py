"""What a model takes and gives, read off the file: types, shapes and ranges, and what inputs get without data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ..interpreter.interface import TensorSpec, distinct_names
from ..model.metadata import Normalisation, normalisations
from ..model.read import Model, Subgraph, Tensor
from ..samples.hints import input_hints, shape_read
from ..samples.synthetic import InputHint, synthetic_words

_DTYPES: Final = {
    **{name: name.lower() for name in ("FLOAT16", "FLOAT32", "FLOAT64", "BOOL", "COMPLEX64", "COMPLEX128")},
    **{f"{sign}INT{bits}": f"{sign}int{bits}".lower() for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
"""Types that numpy has; inputs of others cannot be made up."""

_BRIGHTEST: Final = 255


@dataclass(frozen=True)
class ValueRange:
    """Values that a tensor takes, bounds included, and what says so: real values, or whole numbers."""

    low: float
    high: float
    source: Literal["quantisation", "metadata", "graph"]


@dataclass(frozen=True)
class InspectedOutput:
    """One output."""

    signature: str | None
    """The key of its signature; None for a model without signatures."""
    name: str
    type: str
    shape: tuple[int, ...]
    """-1 where any size will do."""
    range: ValueRange | None
    """None if nothing says it."""


@dataclass(frozen=True)
class InspectedInput(InspectedOutput):
    """One input."""

    synthetic: str
    """What it gets if there is no data, in words."""


def inputs_and_outputs(
    model: Model, has_weights: bool
) -> tuple[tuple[InspectedInput, ...], tuple[InspectedOutput, ...]]:
    """Inputs and outputs of every signature, or of the first subgraph if there is none, in their order.

    has_weights: whether there are layers by which the range of a synthetic input can be chosen.
    """
    hints, told = input_hints(model), normalisations(model)
    inputs: list[InspectedInput] = []
    outputs: list[InspectedOutput] = []
    for key, graph, taken, given in _interfaces(model):
        specs = {name: _spec(name, graph.tensors[index]) for name, index in taken.items()}
        real = [spec for spec in specs.values() if spec.quantised or spec.dtype.kind == "f"]
        is_scaled = len(real) == 1 and has_weights
        for name, spec in specs.items():
            tensor, hint = graph.tensors[taken[name]], hints.get(key, {}).get(name)
            found = _range(tensor, told.get(tensor.index) if graph.index == 0 else None, hint)
            shape = shape_read(graph, tensor.index)
            words = synthetic_words(spec, hint, shape, is_scaled and spec is real[0])
            inputs.append(InspectedInput(key, name, tensor.type, spec.shape_signature, found, words))
        for name, index in given.items():
            tensor = graph.tensors[index]
            outputs.append(InspectedOutput(key, name, tensor.type, _sizes(tensor), _range(tensor, None, None)))
    return tuple(inputs), tuple(outputs)


def _interfaces(model: Model) -> Iterator[tuple[str | None, Subgraph, dict[str, int], dict[str, int]]]:
    """Each way to run the model: signature, subgraph, and tensors by the names of inputs and of outputs."""
    for key, signature in model.signatures.items():
        yield key, model.subgraphs[signature.subgraph], signature.tensors, signature.outputs
    if not model.signatures:
        graph = model.subgraphs[0]
        taken, given = (
            dict(zip(distinct_names([graph.tensors[index].name for index in indices]), indices, strict=True))
            for indices in (graph.inputs, graph.outputs)
        )
        yield None, graph, taken, given


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape_signature if len(tensor.shape_signature) == len(tensor.shape) else tensor.shape


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    scale, zero = _scale(tensor) or (0.0, 0)
    dtype = np.dtype(_DTYPES.get(tensor.type, "O"))
    return TensorSpec(name, tensor.index, tensor.shape, _sizes(tensor), dtype, scale, zero)


def _scale(tensor: Tensor) -> tuple[float, int] | None:
    """The scale and the zero point of an integer tensor that has one of each."""
    found = tensor.quantization
    if found is None or len(found.scale) != 1 or np.dtype(_DTYPES.get(tensor.type, "O")).kind not in "iu":
        return None
    return float(found.scale[0]), int(found.zero_point[0]) if len(found.zero_point) else 0


def _range(tensor: Tensor, normalisation: Normalisation | None, hint: InputHint | None) -> ValueRange | None:
    quantised = _scale(tensor)
    if quantised is not None:
        limits, (scale, zero) = np.iinfo(_DTYPES[tensor.type]), quantised
        return ValueRange((int(limits.min) - zero) * scale, (int(limits.max) - zero) * scale, "quantisation")
    if normalisation is not None:
        pairs = np.broadcast_arrays(np.array(normalisation.mean), np.array(normalisation.std))
        ends = np.array([(pixel - pairs[0]) / pairs[1] for pixel in (0, _BRIGHTEST)])
        return ValueRange(float(ends.min()), float(ends.max()), "metadata")
    return None if hint is None else ValueRange(hint.low, hint.high, "graph")
