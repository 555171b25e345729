"""Inputs made up for want of data: of the right type, shape and range, and as smooth as pictures and sounds are."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import ModelInterface, Signature, TensorSpec
from .load import Data, load_samples
from .samples import InputSamples, Samples

_ANY_BATCH = 1
_ANY_SIZE = 16
_MOST_CHANNELS = 4
_SMALLEST_SIDE = 4
_SHORTEST_WAVE = 1000

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class InputHint:
    """What an input takes, bounds included: real values, or the indices of the table that it looks up."""

    low: float
    high: float


_REAL = InputHint(-1.0, 1.0)
_INDEX = InputHint(0, 1)

Hints = Mapping[str | None, Mapping[str, InputHint]]
"""Signature key -> input name -> hint."""


def gather_samples(
    interface: ModelInterface,
    data: Data | None,
    hints: Hints,
    count: int,
    seed: int,
    labels: npt.NDArray[Any] | None = None,
) -> dict[str | None, Samples]:
    """Give samples for every signature: the user's where they fit, `count` synthetic ones for the others.

    Raises DataError if `data` does not fit the model, or a signature without data takes text, which cannot be made up.
    """
    samples = {} if data is None else load_samples(data, interface, labels)
    for signature in interface.signatures:
        if signature.key not in samples:
            samples[signature.key] = synthetic_samples(signature, hints.get(signature.key, {}), count, seed)
    return samples


def synthetic_samples(signature: Signature, hints: Mapping[str, InputHint], count: int, seed: int) -> Samples:
    """Make up `count` samples for a signature; the same arguments give the same samples.

    Pictures become noise whose spectrum falls as 1/f, as that of photographs does (Field 1987); sequences and
    waveforms are correlated in time; the rest is Gaussian. `hints` maps input names to their ranges; without one,
    real inputs lie in -1 to 1 and indices are 0 or 1. Quantised inputs use all codes. Dimensions of any size become 1
    for the first and 16 for others. Raises DataError for an input that takes text.
    """
    inputs: dict[str, InputSamples] = {}
    for spec in signature.inputs:
        generator = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
        shape = _concrete_shape(spec)
        values = np.stack([_sample(spec, shape, hints.get(spec.name), generator) for _ in range(count)])
        inputs[spec.name] = InputSamples(values, spec, shape)
    words = "1 synthetic sample" if count == 1 else f"{count} synthetic samples"
    return Samples(inputs, None, words, synthetic=True)


def _concrete_shape(spec: TensorSpec) -> tuple[int, ...]:
    fallback = (_ANY_BATCH, *[_ANY_SIZE] * (len(spec.shape_signature) - 1))
    return tuple(size if size >= 0 else free for size, free in zip(spec.shape_signature, fallback, strict=False))


def _sample(
    spec: TensorSpec, shape: tuple[int, ...], hint: InputHint | None, generator: np.random.Generator
) -> npt.NDArray[Any]:
    kind = spec.dtype.kind
    if kind == "b":
        return generator.random(shape) < 0.5
    if kind == "f":
        return _scaled(_noise(shape, generator), hint or _REAL).astype(spec.dtype)
    if kind not in "iu":
        raise DataError(f"the input {spec.name!r} takes {_kind_words(spec)}, which cannot be made up; give data for it")
    limits = np.iinfo(spec.dtype)
    if spec.quantised and hint is not None:
        return _scaled(_noise(shape, generator), hint)  # real values, which the samples quantise
    if spec.quantised or (hint is None and spec.dtype.itemsize == 1):
        return np.round(_scaled(_noise(shape, generator), InputHint(limits.min, limits.max))).astype(spec.dtype)
    bounds = hint or _INDEX
    low, high = max(int(bounds.low), limits.min), min(int(bounds.high), limits.max)
    return generator.integers(low, high, shape, dtype=np.int64, endpoint=True).astype(spec.dtype)


def _kind_words(spec: TensorSpec) -> str:
    return "text" if spec.dtype.kind in "SUO" else f"values of type {spec.dtype}"


def _scaled(noise: Reals, bounds: InputHint) -> Reals:
    middle, half = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
    return middle + half * noise.clip(-1.0, 1.0)


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Make one sample, mostly within -1 to 1, with a brightness and contrast of its own."""
    noise = np.reshape(_correlated(shape[1:] if shape[:1] == (1,) else shape, generator), shape)
    return generator.normal(0.0, 0.25) + generator.uniform(0.25, 0.55) * noise


def _correlated(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Noise of mean 0 and variance 1 (about), correlated along the axes that look like space or time."""
    if len(shape) >= 3 and shape[-1] <= _MOST_CHANNELS and min(shape[:-1]) >= _SMALLEST_SIDE:
        return _picture(shape[:-1], shape[-1], generator)
    if len(shape) == 3 and shape[0] <= _MOST_CHANNELS and min(shape[1:]) >= _SMALLEST_SIDE:
        return np.moveaxis(_picture(shape[1:], shape[0], generator), -1, 0)
    if len(shape) == 2 or (len(shape) == 1 and shape[0] >= _SHORTEST_WAVE):
        return _coloured(generator.standard_normal(shape), axes=1, slope=0.5)
    return generator.standard_normal(shape)


def _picture(sides: tuple[int, ...], channels: int, generator: np.random.Generator) -> Reals:
    """Colour channels of a photograph have most of their structure in common."""
    common = generator.standard_normal((*sides, 1))
    own = generator.standard_normal((*sides, channels))
    return _coloured(0.8 * common + 0.6 * own, axes=len(sides), slope=1.0)


def _coloured(white: Reals, axes: int, slope: float) -> Reals:
    """Filter white noise along its first `axes` axes so that its amplitude falls as 1 / frequency ** slope."""
    sides = white.shape[:axes]
    frequencies = [np.fft.fftfreq(side) for side in sides[:-1]] + [np.fft.rfftfreq(sides[-1])]
    grids = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    distance = np.sqrt(sum((grid**2 for grid in grids), np.zeros(())))
    gain = np.where(distance > 0, np.maximum(distance, 1e-9) ** -slope, 0.0)
    gain = np.reshape(gain, gain.shape + (1,) * (white.ndim - axes))
    along = tuple(range(axes))
    noise = np.fft.irfftn(np.fft.rfftn(white, axes=along) * gain, s=sides, axes=along)
    deviation = float(noise.std())
    return noise / deviation if deviation > 0 else noise
