"""Which integer weights can have other scales, and where in the file those stand.

real value = scale x code, with a scale for each output channel: kernels multiply the sum of a channel by that scale and
by the input's, and add the bias in the same units. So other scales take other codes and another bias, and nothing else
changes; vectors keep their length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .fields import root, tables_of, target_at
from .layer import Bias, Layer
from .layers import unpacked_from
from .operators import record_of
from .read import Model, Tensor
from .verify import Span, verify
from .weight import Weight

Floats32 = npt.NDArray[np.float32]

_LARGEST_CODE: Final = 127
_SAME_SCALE: Final = 1e-3
"""Relative difference up to which the scale of a bias is that of the weight times that of the input."""

_SCALES: Final = 1e-30, 1e30
"""Least and largest scale with which float32 can reckon."""

_LARGEST_FACTOR: Final = 1.0
"""Of a sum's unit to the output's. XNNPACK refuses 256, and a scale can become 127 times what it was."""


@dataclass(frozen=True)
class ScaleVectors:
    """Places of the float32 vectors that the scales of a weight make up, one number for each output channel.

    lowest, highest: the range that the scales stand for, where the file has it. bias: the scales of the bias, where
    there is one of integers; they are those of the weight times input_scale. factor: the largest ratio of the unit of a
    sum to that of the output, 0 where sums are real.
    """

    weight: Span
    lowest: Span | None
    highest: Span | None
    bias: Span | None
    input_scale: float
    factor: float

    @property
    def can_grow(self) -> bool:
        """Whether kernels can take much larger scales as well."""
        return self.factor <= _LARGEST_FACTOR

    @property
    def spans(self) -> tuple[Span, ...]:
        """All of them."""
        return tuple(span for span in (self.weight, self.lowest, self.highest, self.bias) if span is not None)

    def contents(self, scale: Floats32) -> Iterator[tuple[Span, memoryview]]:
        """What all places hold once the weight has these scales, (channels,)."""
        whole = {
            self.weight: scale,
            self.lowest: -scale * _LARGEST_CODE,
            self.highest: scale * _LARGEST_CODE,
            self.bias: self.bias_scale(scale),
        }
        for span, values in whole.items():
            if span is not None:
                yield span, values.astype("<f4").data.cast("B")

    def bias_scale(self, scale: Floats32) -> Floats32:
        """The scales of the bias that belong to those of the weight."""
        result: Floats32 = scale * np.float32(self.input_scale)
        return result

    def follows(self, scale: Floats32, bias: bytes | memoryview) -> bool:
        """Whether that is what the place of the bias's scales holds."""
        wanted = self.bias_scale(scale)
        return bool(np.all(np.abs(np.frombuffer(bias, "<f4") - wanted) <= _SAME_SCALE * wanted))


def find_scale_vectors(model: Model, uses: Iterable[tuple[Weight, Layer | None]]) -> dict[Span, ScaleVectors]:
    """Where the scales of those weights stand whose scales can be rewritten, by the place of the weight.

    uses: weights with the only layer of each, None if it has none or several.
    """
    found, tables = {}, _tensor_tables(model)
    for weight, layer in uses:
        is_int8 = weight.storage.type == "INT8" and len(weight.scale) > 1
        vectors = _vectors_of(model, tables, weight, layer) if is_int8 and layer is not None else None
        if vectors is not None:
            found[weight.span] = vectors
    if not found:
        return {}
    parts = verify(model.data)
    return {place: vectors for place, vectors in found.items() if _are_alone(parts, vectors.spans)}


def _vectors_of(model: Model, tables: list[list[int]], weight: Weight, layer: Layer) -> ScaleVectors | None:
    """Where they stand, if they can be rewritten as far as the weight and its operator go."""
    if not _can_have_others(model, weight, layer):
        return None
    subgraph = tables[layer.operator.subgraph]
    own = _vectors(model.data, subgraph[weight.tensor.index])
    scale, bias = own.get("scale"), None
    if layer.bias is not None and not layer.bias.is_float:
        bias = _vectors(model.data, subgraph[layer.bias.tensor.index]).get("scale")
    if scale is None or any(span.size != scale.size for span in (*own.values(), bias) if span is not None):
        return None
    tensors = model.subgraphs[layer.operator.subgraph].tensors
    unit, output = _only_scale(tensors[layer.input]), _only_scale(tensors[layer.output])
    if not all(are_usable(np.array(each)) for each in (unit, output) if each is not None):
        return None
    factor = 0.0 if unit is None or output is None else float(weight.scale.max()) * unit / output
    return ScaleVectors(scale, own.get("min"), own.get("max"), bias, 1.0 if unit is None else unit, factor)


def _can_have_others(model: Model, weight: Weight, layer: Layer) -> bool:
    """Whether nothing but one operator reads the weight and its scales, and that as it stands."""
    known = record_of(layer.operator).bias
    quantization = weight.tensor.quantization
    if known is None or not known.is_per_row or len(weight.tensors) != 1 or quantization is None:
        return False
    if quantization.blockwise or np.any(quantization.zero_point) or not _is_read_by(model, weight, layer):
        return False
    if weight.scale_groups != layer.rows or len(quantization.scale) != layer.rows.groups or layer.rows.groups < 2:
        return False
    if not are_usable(weight.scale):
        return False
    if not layer.operator.has(known.operand):
        return True
    return layer.bias is not None and _fits(model, weight, layer, layer.bias)


def are_usable(scale: npt.NDArray[np.floating[Any]]) -> bool:
    """Whether scales are such that what follows from them can be reckoned."""
    least, largest = _SCALES
    return bool(np.all((scale >= least) & (scale <= largest)))  # a NaN is neither


def _is_read_by(model: Model, weight: Weight, layer: Layer) -> bool:
    """Whether the operator reads the weight directly, or through a DEQUANTIZE."""
    operand = model.subgraphs[layer.operator.subgraph].tensors[layer.operator.inputs[1]]
    source = unpacked_from(model, operand)
    return weight.tensor.index in (operand.index, None if source is None else source.index)


def _fits(model: Model, weight: Weight, layer: Layer, bias: Bias) -> bool:
    """Whether a bias is in the units of the products, or in real ones."""
    if bias.is_float:
        return True
    scale = _only_scale(model.subgraphs[layer.operator.subgraph].tensors[layer.input])
    if scale is None or len(bias.scale) != len(weight.scale):
        return False
    product = weight.scale * scale
    return bool(np.all(np.abs(bias.scale - product) <= _SAME_SCALE * product))


def _only_scale(tensor: Tensor) -> float | None:
    """The scale of a tensor of activations; None if that is not of integers."""
    quantization = tensor.quantization
    return float(quantization.scale[0]) if quantization is not None and len(quantization.scale) == 1 else None


def _tensor_tables(model: Model) -> list[list[int]]:
    """Where the tables of the tensors of each subgraph stand."""
    data = model.data
    subgraphs = tables_of(data, target_at(data, "Model", root(data), "subgraphs"))
    return [tables_of(data, target_at(data, "SubGraph", subgraph, "tensors")) for subgraph in subgraphs]


def _vectors(data: memoryview, table: int) -> dict[str, Span]:
    """Places of the contents of the vectors of scales and ranges in a tensor's table, where these are not empty."""
    quantization = target_at(data, "Tensor", table, "quantization")
    found = {}
    for name in ("scale", "min", "max"):
        vector = None if quantization is None else target_at(data, "QuantizationParameters", quantization, name)
        count = 0 if vector is None else int(np.frombuffer(data, "<u4", 1, vector)[0])
        if vector is not None and count:
            found[name] = Span(vector + 4, vector + 4 + 4 * count)
    return found


def _are_alone(parts: npt.NDArray[np.int64], spans: Sequence[Span]) -> bool:
    """Whether each of these places of the file belongs to one part of its structure only, to which one reference leads.

    parts: what `verify` came by, (references, 2).
    """
    start, stop = parts.T
    return all(int(np.count_nonzero((start < span.stop) & (stop > span.start))) == 1 for span in spans)
