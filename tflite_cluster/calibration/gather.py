"""The input of each layer, and its moments over the calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter.interface import Sequences
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..interpreter.worker import batch_length
from ..model.layer import Layer
from ..model.operators import record_of
from ..model.prefix import prefix
from ..model.read import Model, Tensor
from ..model.tape import Tape, record
from ..samples.samples import Samples
from .gradients import GradientSeed, GradientSums, collect_gradients
from .moments import DriftedMoments, LayerInput, Moments, Probe, collect, collect_drift
from .observability import Observability
from .weight_gradients import WeightInput

_MOST_PLACES: Final = 64
"""Places of each activation that are counted in: their neighbours add little."""

_MOST_BYTES: Final = 384 << 20
"""What all second moments together may take in memory."""

_WIDEST: Final = 1536
"""Columns of the widest Hessian: the time that one takes grows with their cube."""
_BATCH_BYTES: Final = 16 << 20

AnyMoments = TypeVar("AnyMoments", bound=Moments)


@dataclass(frozen=True)
class LayerGradients:
    """What gradients tell of layers, by their number. A layer is missing where they tell nothing of it."""

    moments: dict[int, Moments]
    """Moments (1, rows, rows) of the gradients at the output, where all rows have the same input."""
    effects: dict[int, float]
    """Squared error of the outputs, as their seeds weigh it, for errors of variance 1 in all elements of the weight."""

    def sound(self, layers: Mapping[int, Layer]) -> LayerGradients:
        """The finite sums whose shape fits the numbered layer; all others are dropped."""
        return LayerGradients(
            {
                number: moments
                for number, moments in self.moments.items()
                if moments.first.shape == (1, layers[number].rows.groups) and moments.is_finite
            },
            {number: effect for number, effect in self.effects.items() if 0 < effect < np.inf},
        )


@dataclass(frozen=True)
class Observer:
    """Runs a model on the chosen samples of each signature, and gathers the moments of layer inputs."""

    process: InterpreterProcess
    model: Model
    original: Path
    samples: Mapping[str | None, Samples]
    chosen: Mapping[str | None, npt.NDArray[np.intp]]
    threads: int
    observability: Mapping[str | None, Observability] = field(default_factory=dict)
    """How the layers of each signature are read, where not as usual."""
    missed: list[str] = field(default_factory=list)
    """What could not be gathered, in words."""

    @property
    def count(self) -> int:
        """How many samples are run."""
        return sum(len(indices) for indices in self.chosen.values())

    def moments(self, uses: Mapping[int, Sequence[Layer]], progress: Callable[[int, int], None]) -> dict[int, Moments]:
        """Moments for those of the numbered weights that are used in layers whose input can be observed.

        Weights are missing that are used only in subgraphs that no signature runs directly, where tensors cannot be
        read, or where these hold NaN or numbers whose squares go beyond float32.
        """
        return self._gather(uses, Moments, collect, [self.original], progress)

    def drift(self, copy: Path, layers: Mapping[int, Layer], most: int) -> dict[int, DriftedMoments]:
        """The same for a clustered copy beside the original, of layers that all have the same input.

        From `most` samples of each signature.
        """
        layer = next(iter(layers.values()))
        edits = prefix(self.model, self.model.subgraphs[layer.operator.subgraph].tensors[layer.input])
        fewer = replace(self, chosen={key: indices[:most] for key, indices in self.chosen.items()})
        uses = {number: [layer] for number, layer in layers.items()}
        return fewer._gather(uses, DriftedMoments, partial(collect_drift, edits), [self.original, copy], _say_nothing)

    def gradients(
        self,
        layers: Mapping[int, Layer],
        seeds: Mapping[str | None, Sequence[GradientSeed]],
        most: int,
        inputs: Mapping[int, Moments],
        *,
        shifts_biases: bool,
    ) -> LayerGradients:
        """What gradients tell of those of the numbered layers that they can be brought back to.

        From `most` samples of each signature. inputs: moments of the inputs of layers whose effects are wanted.
        shifts_biases: whether biases may make up for mean errors.
        """
        found = LayerGradients({}, {})
        for key, indices in self.chosen.items():
            if self._kernels(key) is None:
                continue
            subgraph = self.model.subgraph_of(key).index
            here = {number: layer for number, layer in layers.items() if layer.operator.subgraph == subgraph}
            coupled = {
                here[number].output: number
                for number in _narrow({n: each for n, each in here.items() if _is_dense(each)})
            }
            weighed = {n: layer for n, layer in here.items() if n in inputs and _gives_channels(layer)}
            weights = {
                layer.output: (number, self._weight_input(layer, inputs[number], shifts_biases))
                for number, layer in weighed.items()
            }
            numbers = {*coupled.values(), *(number for number, _ in weights.values())}
            outputs = [seed.tensor.index for seed in seeds[key]]
            tape = record(self.model, subgraph, outputs, [layers[number] for number in numbers])
            sources = {tensor: source for tensor, (_, source) in weights.items()}
            try:
                sums = self._sum_gradients(key, indices[:most], seeds[key], tape, frozenset(coupled), sources)
            except InterpreterFailure as failure:
                self.missed.append(f"the layers{self._where(key)} are clustered without gradients: {failure.cause}")
                continue
            found.moments.update((coupled[tensor], moments) for tensor, moments in sums.moments.items())
            for tensor, each in sums.effects.items():
                number, _ = weights[tensor]
                found.effects[number] = each / len(indices[:most])
        return found.sound(layers)

    def _weight_input(self, layer: Layer, moments: Moments, shifts_biases: bool) -> WeightInput:
        whole = _layer_input(self.model, layer, layer.columns)
        return WeightInput(whole, moments.mean.astype(np.float32), shifts_biases and layer.bias is not None)

    def _kernels(self, key: str | None) -> Kernels | None:
        return self.observability.get(key, Observability()).layers

    def _sum_gradients(
        self,
        key: str | None,
        indices: npt.NDArray[np.intp],
        seeds: Sequence[GradientSeed],
        tape: Tape,
        coupled: Collection[int],
        weights: Mapping[int, WeightInput],
    ) -> GradientSums:
        sums, kernels = GradientSums(), self._kernels(key)
        for number, batch in enumerate(batches(self.samples[key], indices) if tape.kept else ()):
            call = collect_gradients, self.original, key, batch, seeds, tape, coupled, weights, [number]
            sums.add(self.process.call(*call, kernels, self.threads))
        return sums

    def _where(self, key: str | None) -> str:
        return f" of signature '{key}'" if len(self.chosen) > 1 else ""

    def _gather(
        self,
        uses: Mapping[int, Sequence[Layer]],
        kind: type[AnyMoments],
        work: Callable[..., list[AnyMoments]],
        paths: Sequence[Path],
        progress: Callable[[int, int], None],
    ) -> dict[int, AnyMoments]:
        pairs = [(number, layer) for number, layers in uses.items() for layer in layers]
        widest = _widest(layer for _, layer in pairs)
        found: dict[int, AnyMoments] = {}
        done = 0
        for key, indices in self.chosen.items():
            kernels = self._kernels(key)
            if kernels is None:
                continue
            here = [pair for pair in pairs if pair[1].operator.subgraph == self.model.subgraph_of(key).index]
            layer_inputs = [_layer_input(self.model, layer, widest) for _, layer in here]
            sums = [kind.empty(layer_input.parts, layer_input.columns) for layer_input in layer_inputs]
            try:
                for batch in batches(self.samples[key], indices):
                    how = [done], kernels, self.threads
                    parts = self.process.call(work, *paths, key, batch, layer_inputs, _MOST_PLACES, *how)
                    for moments, part in zip(sums, parts, strict=True):
                        moments.add(part)
                    done += batch_length(batch)
                    progress(done, self.count)
            except InterpreterFailure as failure:
                self.missed.append(f"the layers{self._where(key)} are clustered without their inputs: {failure.cause}")
                continue
            for (number, _), moments in zip(here, sums, strict=True):
                if moments.count:
                    found.setdefault(number, kind.empty(*moments.first.shape)).add(moments)
        if done < self.count:
            progress(self.count, self.count)  # also where the layers of some signatures cannot be observed
        return {number: moments for number, moments in found.items() if moments.is_finite}


def _say_nothing(_done: int, _total: int) -> None:
    """Progress too quick to report."""


def batches(samples: Samples, indices: npt.NDArray[np.intp]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The chosen samples in batches of bounded size, in order, of the kind that the samples come in."""
    if not len(indices):
        return
    size = sum(values.nbytes for values in samples.batch(0, 1).values())
    length = max(_BATCH_BYTES // max(size, 1), 1)
    for start in range(0, len(indices), length):
        singles = [samples.batch(int(index), int(index) + 1) for index in indices[start : start + length]]
        whole = {name: np.concatenate([single[name] for single in singles]) for name in singles[0]}
        yield Sequences(whole, singles[0].feedback) if isinstance(singles[0], Sequences) else whole


def probe_of(tensor: Tensor) -> Probe:
    """How to read a tensor as real values."""
    quantization = tensor.quantization
    if quantization is None or len(quantization.scale) != 1:
        return Probe(tensor.subgraph, tensor.index)
    zero = int(quantization.zero_point[0]) if len(quantization.zero_point) else 0
    return Probe(tensor.subgraph, tensor.index, float(quantization.scale[0]), zero)


def _is_dense(layer: Layer) -> bool:
    """Whether all rows have the same input, and each gives one channel of the output."""
    bias = record_of(layer.operator).bias
    return layer.kind != "depthwise" and layer.groups == 1 and bias is not None and bias.is_per_row


def _gives_channels(layer: Layer) -> bool:
    """Whether each row gives one channel of the output."""
    bias = record_of(layer.operator).bias
    return layer.recurrence is None and bias is not None and bias.is_per_row


def _narrow(layers: Mapping[int, Layer]) -> list[int]:
    """Those with few enough rows that what they have between each other fits into memory."""
    most = _WIDEST
    while (
        most > 1 and sum(4 * rows**2 for layer in layers.values() if (rows := layer.rows.groups) <= most) > _MOST_BYTES
    ):
        most //= 2
    return [number for number, layer in layers.items() if layer.rows.groups <= most]


def _widest(layers: Iterable[Layer]) -> int:
    """Columns that one Hessian may have, so that all fit into memory."""
    widest, shapes = _WIDEST, list(layers)
    while (
        widest > 1 and sum(4 * parts * n * n for parts, n in (_shape(layer, widest) for layer in shapes)) > _MOST_BYTES
    ):
        widest //= 2
    return widest


def _shape(layer: Layer, widest: int) -> tuple[int, int]:
    """Parts and columns of each: rows apart for depthwise, groups apart, and too wide a matrix in runs of columns."""
    if layer.kind == "depthwise":
        return layer.rows.groups, layer.columns
    if layer.groups > 1 or layer.columns <= widest:
        return layer.groups, layer.columns
    parts = -(-layer.columns // widest)
    while layer.columns % parts:
        parts += 1
    return parts, layer.columns // parts


def _layer_input(model: Model, layer: Layer, widest: int) -> LayerInput:
    parts, columns = _shape(layer, widest)
    tensor = model.subgraphs[layer.operator.subgraph].tensors[layer.input]
    return LayerInput(
        probe_of(tensor), layer.kind, parts, columns, layer.window, layer.groups, layer.multiplier, layer.recurrence
    )
