"""Second moments E[x xᵀ] of the input x of each layer, gathered where the interpreter runs.

`collect` and `collect_drift` run in the interpreter's process and give back sums, never activations of whole images.
Padding counts as the real value zero, as it does for the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from ..interpreter.runtime import Kernels, OpenModel
from ..interpreter.worker import batch_length, each_run, open_model, run_sample
from ..model.layer import Kind, Recurrence
from ..model.window import Window

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float32]

_TOGETHER: Final = 512
"""Observations that are counted in at once, at least."""

_ROUNDING: Final = 1e-5
"""Variance relative to the mean square up to which an input counts as constant: float32 sums round that much."""


@dataclass(frozen=True)
class Probe:
    """A tensor to read after each run, and how to turn it into real values: scale x (code - zero)."""

    subgraph: int
    tensor: int
    scale: float = 1.0
    zero: int = 0

    def read(self, model: OpenModel) -> Floats:
        """The tensor as the latest run of an OpenModel left it."""
        values = model.tensor(self.tensor, self.subgraph)
        real: Floats = values.astype(np.float32, copy=False)
        if np.issubdtype(values.dtype, np.integer):
            real = (real - np.float32(self.zero)) * np.float32(self.scale)
        return real


@dataclass(frozen=True)
class LayerInput:
    """How the probed tensor becomes the input of a layer; `parts` x `columns` is the shape of one observation.

    Parts are convolution groups, depthwise outputs, or runs of columns of a matrix too wide for one Hessian.
    """

    probe: Probe
    kind: Kind
    parts: int
    columns: int
    window: Window | None
    groups: int
    multiplier: int
    recurrence: Recurrence | None = None


@dataclass
class Moments:
    """Sums of x and x xᵀ over observations: (parts, columns) and (parts, columns, columns)."""

    count: int
    first: Floats
    second: Floats

    @classmethod
    def empty(cls, parts: int, columns: int) -> Self:
        """Nothing observed yet."""
        return cls(0, np.zeros((parts, columns), np.float32), np.zeros((parts, columns, columns), np.float32))

    def add(self, other: Moments) -> None:
        """Take in the sums of other observations."""
        self.count += other.count
        self.first += other.first
        self.second += other.second

    def count_in(self, observed: Floats) -> None:
        """Take in observations, (any, parts, columns)."""
        self.count += len(observed)
        self.first += observed.sum(0)
        self.second += np.matmul(observed.transpose(1, 2, 0), observed.transpose(1, 0, 2))

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """E[x], (parts, columns)."""
        return self.first.astype(np.float64) / max(self.count, 1)

    @property
    def hessian(self) -> npt.NDArray[np.float64]:
        """E[x xᵀ], (parts, columns, columns)."""
        return self.second.astype(np.float64) / max(self.count, 1)

    @property
    def covariance(self) -> npt.NDArray[np.float64]:
        """The Hessian once a free bias absorbs the mean error of every output; zero for inputs that are constant."""
        mean, hessian = self.mean, self.hessian
        covariance = hessian - mean[:, :, None] * mean[:, None, :]
        constant = np.einsum("pii->pi", covariance) <= _ROUNDING * np.einsum("pii->pi", hessian)
        covariance[constant] = 0.0  # what is left is rounding, which may be negative
        covariance.transpose(0, 2, 1)[constant] = 0.0
        return covariance

    @property
    def is_finite(self) -> bool:
        """Whether no sum holds NaN or went beyond float32."""
        return all(bool(np.isfinite(values).all()) for values in vars(self).values() if isinstance(values, np.ndarray))


@dataclass
class DriftedMoments(Moments):
    """Moments of the inputs x̂ that a clustered model gives a weight, with sums of x - x̂ and (x - x̂) x̂ᵀ, where x is what
    the original gives it.
    """

    first_drift: Floats
    cross: Floats

    @classmethod
    def empty(cls, parts: int, columns: int) -> Self:
        """Nothing observed yet."""
        plain = Moments.empty(parts, columns)
        return cls(0, plain.first, plain.second, np.zeros_like(plain.first), np.zeros_like(plain.second))

    def add(self, other: Moments) -> None:
        """Take in the sums of other observations."""
        super().add(other)
        assert isinstance(other, DriftedMoments)
        self.first_drift += other.first_drift
        self.cross += other.cross

    def count_in_beside(self, drifted: Floats, original: Floats) -> None:
        """Take in observations x̂ and x at the same places, each (any, parts, columns)."""
        self.count_in(drifted)
        drift = original - drifted
        self.first_drift += drift.sum(0)
        self.cross += np.matmul(drift.transpose(1, 2, 0), drifted.transpose(1, 0, 2))

    @property
    def mean_drift(self) -> npt.NDArray[np.float64]:
        """E[x - x̂], (parts, columns)."""
        return self.first_drift.astype(np.float64) / max(self.count, 1)

    @property
    def cross_moment(self) -> npt.NDArray[np.float64]:
        """E[(x - x̂) x̂ᵀ], (parts, columns, columns)."""
        return self.cross.astype(np.float64) / max(self.count, 1)

    @property
    def cross_covariance(self) -> npt.NDArray[np.float64]:
        """The same once a free bias absorbs the mean error of every output."""
        return self.cross_moment - self.mean_drift[:, :, None] * self.mean[:, None, :]


class _Waiting:
    """Observations that are counted in together, since a product of one row takes as long as one of many."""

    def __init__(self, count_in: Callable[..., None]) -> None:
        self._count_in = count_in
        self._waiting: list[tuple[Floats, ...]] = []

    def add(self, *observed: Floats) -> None:
        """Let observations wait, (any, parts, columns), or several of the same places, until there are enough."""
        self._waiting.append(observed)
        if sum(len(each[0]) for each in self._waiting) >= _TOGETHER:
            self.count_all()

    def count_all(self) -> None:
        """Count in all that wait."""
        if self._waiting:
            self._count_in(*map(np.concatenate, zip(*self._waiting, strict=True)))
        self._waiting = []


def collect(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    layer_inputs: Sequence[LayerInput],
    most: int,
    seed: Sequence[int],
    kernels: Kernels,
    threads: int,
) -> list[Moments]:
    """Moments of each layer input over a batch of samples, from at most `most` places of each sample.

    Runs in the interpreter's process. `seed` sets the choice of places.
    """
    model = open_model(path, kernels, threads, preserve_all_tensors=True)
    sums = [Moments.empty(layer_input.parts, layer_input.columns) for layer_input in layer_inputs]
    waiting = [_Waiting(moments.count_in) for moments in sums]
    for sample in range(batch_length(batch)):
        for each, x in zip(waiting, _observed(model, key, batch, sample, layer_inputs, most, seed), strict=True):
            each.add(x)
    for each in waiting:
        each.count_all()
    return sums


def collect_drift(
    edits: Mapping[int, bytes],
    original: Path,
    copy: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    layer_inputs: Sequence[LayerInput],
    most: int,
    seed: Sequence[int],
    kernels: Kernels,
    threads: int,
) -> list[DriftedMoments]:
    """The same for a clustered copy beside its original, at the same places of both.

    edits: what to put where in both files, so that no more of them is run than has to be.
    """
    models = [
        open_model(path, kernels, threads, preserve_all_tensors=not edits, edits=edits) for path in (original, copy)
    ]
    sums = [DriftedMoments.empty(layer_input.parts, layer_input.columns) for layer_input in layer_inputs]
    waiting = [_Waiting(moments.count_in_beside) for moments in sums]
    for sample in range(batch_length(batch)):
        before, after = (_observed(model, key, batch, sample, layer_inputs, most, seed) for model in models)
        for each, x, drifted in zip(waiting, before, after, strict=True):
            each.add(drifted, x)
    for each in waiting:
        each.count_all()
    return sums


def _observed(
    model: OpenModel,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    sample: int,
    layer_inputs: Sequence[LayerInput],
    most: int,
    seed: Sequence[int],
) -> Iterator[Floats]:
    """The input of each layer when one sample is run, (places, parts, columns)."""
    run_sample(model, key, batch, sample)
    for number, layer_input in enumerate(layer_inputs):
        generator = np.random.default_rng([*seed, sample, number])
        yield observations(layer_input, layer_input.probe.read(model), most, generator)


def observe(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    probes: Sequence[Probe],
    kernels: Kernels,
    threads: int,
) -> list[list[Floats]]:
    """The probed tensors of each sample, flat: [sample][probe] -> (elements,). Runs in the interpreter's process."""
    model = open_model(path, kernels, threads, preserve_all_tensors=True)
    return [[probe.read(model).reshape(-1) for probe in probes] for _ in each_run(model, key, batch)]


def observations(layer_input: LayerInput, activation: Floats, most: int, generator: np.random.Generator) -> Floats:
    """The layer input at up to `most` places of one activation: (places, parts, columns).

    Raises InterpreterFailure if the activation does not consist of whole rows of columns.
    """
    if layer_input.recurrence is not None:
        activation = _one_step_late(activation, layer_input.recurrence, layer_input.parts * layer_input.columns)
    if layer_input.kind in ("pixels", "steps"):
        width = layer_input.parts * layer_input.columns
        if activation.size % width:  # kernels of dense layers pass over the rest, if a side has any size
            raise InterpreterFailure(
                f"a layer of {width} columns reads {activation.size} values, so that a side of the input has another "
                "size: give --data"
            )
        rows = activation.reshape(-1, width)
        return rows[_places(len(rows), most, generator)].reshape(-1, layer_input.parts, layer_input.columns)
    patches = _patches(activation, layer_input, most, generator)
    places, height, width, channels = patches.shape
    if layer_input.kind == "depthwise":
        by_channel = patches.reshape(places, height * width, channels).transpose(0, 2, 1)
        repeated: Floats = np.repeat(by_channel, layer_input.multiplier, axis=1)
        return repeated
    groups = layer_input.groups
    by_group: Floats = patches.reshape(places, height, width, groups, channels // groups).transpose(0, 3, 1, 2, 4)
    return by_group.reshape(places, layer_input.parts, layer_input.columns)


def _one_step_late(output: Floats, recurrence: Recurrence, width: int) -> Floats:
    """What comes back of a sequence at each of its steps, time first: nothing at the first, as states begin at zero."""
    steps = np.moveaxis(output[..., recurrence.start : recurrence.start + width], recurrence.time, 0)
    if recurrence.backward:
        steps = steps[::-1]
    return np.concatenate([np.zeros_like(steps[:1]), steps[:-1]])


def _patches(activation: Floats, layer_input: LayerInput, most: int, generator: np.random.Generator) -> Floats:
    """Patches at some of the output places of the images: (places, kernel height, kernel width, channels)."""
    window = layer_input.window
    assert window is not None
    images, height, width, _ = activation.shape
    rows, columns = window.outputs((height, width))
    places = _places(images * rows * columns, most, generator)
    image, place = np.divmod(places, rows * columns)
    row, column = np.divmod(place, columns)
    margins = window.margins((height, width))
    padded = np.pad(activation, ((0, 0), *margins, (0, 0))) if any(map(any, margins)) else activation
    y = row[:, None] * window.stride[0] + np.arange(window.kernel[0]) * window.dilation[0]
    x = column[:, None] * window.stride[1] + np.arange(window.kernel[1]) * window.dilation[1]
    return np.asarray(padded[image[:, None, None], y[:, :, None], x[:, None, :]])


def _places(count: int, most: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    if count <= most:
        return np.arange(count)
    return np.asarray(np.sort(generator.permutation(count)[:most]))
