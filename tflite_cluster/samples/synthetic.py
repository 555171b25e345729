"""Synthetic inputs: of the right type, shape and range, and as smooth as pictures and sounds are."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import ModelInterface, Signature, TensorSpec
from .cepstra import Cepstra
from .coloured import coloured
from .load import Data, load_samples
from .pictures import ground, picture
from .prepared import GivenLabels
from .samples import InputSamples, Samples
from .signals import SIGNALS, Reals, Signal

_SAMPLES = 100, 300
_ELEMENTS = 15_000_000
"""Samples to make up, at least and at most, and how many elements of inputs are worth the time between those."""

_MOST_AHEAD = 8_000_000
"""Elements of pictures that are made before their range is known."""

_ANY_BATCH = 1
_ANY_SIZE = 16
_MOST_CHANNELS = 4
_SMALLEST_SIDE = 4
_SMALLEST_PICTURE = 16
_SHORTEST_WAVE = 1000
_IN_COMMON = 0.5
"""Share of what an element of a sequence has in common with all others."""


@dataclass(frozen=True)
class InputHint:
    """What an input takes, bounds included: real values, or the indices of the table that it looks up.

    cepstra: how real values are arranged if they are cepstra; None if they are not.
    """

    low: float
    high: float
    cepstra: Cepstra | None = None


@dataclass(frozen=True)
class Manner:
    """How synthetic samples are made. varied: whether they are signals of several kinds in turn. invocations: how many
    consecutive inputs make a sample.
    """

    varied: bool = False
    invocations: int = 1

    @property
    def words(self) -> str:
        """What to add to "synthetic samples"."""
        kinds = " (noise, levels, impulses and tones)" if self.varied else ""
        return kinds if self.invocations == 1 else f" of {self.invocations} invocations{kinds}"


PLAIN = Manner()

_PICTURES = "pictures of shapes"
_REAL = InputHint(-1.0, 1.0)
_INDEX = InputHint(0, 1)

Hints = Mapping[str | None, Mapping[str, InputHint]]
"""Signature key -> input name -> hint."""

Noises = Mapping[str, Sequence[Reals]]
"""Input name -> what its samples are made of, before it is brought into their range."""


def gather_samples(
    interface: ModelInterface,
    data: Data | None,
    hints: Hints,
    count: int,
    seed: int,
    labels: GivenLabels | None = None,
    ready: Mapping[str | None, Noises] | None = None,
) -> dict[str | None, Samples]:
    """Give samples for every signature: the user's where they fit, `count` synthetic ones for the others.

    ready: what `plain_noises` made of signatures for this count and seed. Raises DataError if `data` does not fit the
    model, or a signature without data takes text, which cannot be made up.
    """
    samples = {} if data is None else load_samples(data, interface, labels)
    for signature in interface.signatures:
        if signature.key not in samples:
            known, noises = hints.get(signature.key, {}), (ready or {}).get(signature.key)
            samples[signature.key] = synthetic_samples(signature, known, count, seed, ready=noises)
    return samples


def synthetic_count(interface: ModelInterface) -> int:
    """How many samples to make up: fewer of large inputs, which take longer and show more places each."""
    shapes = [_concrete_shape(spec) for signature in interface.signatures for spec in signature.inputs]
    least, most = _SAMPLES
    largest = max([1, *map(prod, shapes)])  # an input may have no elements at all
    return min(max(_ELEMENTS // largest, least), most)


def probe_samples(signature: Signature, hints: Mapping[str, InputHint], count: int, seed: int) -> Samples:
    """So many probes: signals of all kinds in turn, or of the kind that is known. Candidates are judged by them, and
    nothing is fitted to them.
    """
    is_known = any(hint.cepstra is not None for hint in hints.values())
    return synthetic_samples(signature, hints, count, seed + 1, Manner(varied=not is_known))


def plain_noises(signature: Signature, count: int, seed: int) -> Noises:
    """What `count` samples of pictures are made of, which takes long and can be done before their range is known.

    Nothing for other inputs, nor for more pictures than it is worth to hold in memory.
    """
    found: dict[str, list[Reals]] = {}
    for spec in signature.inputs:
        shape = _concrete_shape(spec)
        is_real = spec.dtype.kind == "f" or spec.quantised
        if is_real and _form_words(_without_batch(shape)) == _PICTURES and count * prod(shape) <= _MOST_AHEAD:
            found[spec.name] = [make() for make in _noises(PLAIN, _noise, shape, count, _generator(spec, seed))]
    return found


def synthetic_samples(
    signature: Signature,
    hints: Mapping[str, InputHint],
    count: int,
    seed: int,
    manner: Manner = PLAIN,
    ready: Noises | None = None,
) -> Samples:
    """Make up `count` samples for a signature; the same arguments give the same samples.

    Pictures show shapes that hide each other, which have the edges and the spectrum of photographs; sequences and
    waveforms are correlated in time; the rest is Gaussian. `hints` maps input names to their ranges, and says which are
    cepstra; without one, real inputs lie in -1 to 1 and indices are 0 or 1. Quantised inputs use all codes. Dimensions
    of any size become 1 for the first and 16 for others. `manner` asks for other signals, or for sequences. `ready`
    holds what `plain_noises` made for this count and seed. Raises DataError for an input that takes text.
    """
    inputs: dict[str, InputSamples] = {}
    count = count if signature.inputs else 1
    for spec in signature.inputs:
        generator = _generator(spec, seed)
        shape = _concrete_shape(spec)
        hint = hints.get(spec.name)
        noises = _noises(manner, _plain(hint), shape, count, generator)
        if ready is not None and spec.name in ready and manner == PLAIN and _plain(hint) is _noise:
            noises = (partial(np.asarray, noise) for noise in ready[spec.name])
        values = np.stack([_sample(spec, shape, hint, generator, noise) for noise in noises])
        inputs[spec.name] = InputSamples(values, spec, shape)
    return Samples(inputs, None, _words(count, manner), synthetic=True, invocations=manner.invocations)


def samples_in_ranges(
    signature: Signature, name: str, ranges: Sequence[InputHint], hints: Mapping[str, InputHint], count: int, seed: int
) -> Iterator[Samples]:
    """The samples that `synthetic_samples` makes if the real input of that name has each of the ranges in turn.

    ranges: all of cepstra arranged in one way, or none of cepstra.
    """
    inputs = {spec.name: spec for spec in signature.inputs}
    others = replace(signature, inputs=tuple(spec for spec in signature.inputs if spec.name != name))
    fixed = synthetic_samples(others, hints, count, seed).inputs if others.inputs else {}
    generator, shape = _generator(inputs[name], seed), _concrete_shape(inputs[name])
    noises = [make() for make in _noises(PLAIN, _plain(ranges[0]), shape, count, generator)]
    for each in ranges:
        values = np.stack(
            [_sample(inputs[name], shape, each, generator, partial(np.asarray, noise)) for noise in noises]
        )
        made = {**fixed, name: InputSamples(values, inputs[name], shape)}
        yield Samples({key: made[key] for key in inputs}, None, _words(count, PLAIN), synthetic=True)


def likely_cepstra(spec: TensorSpec, shape: tuple[int, ...]) -> Iterator[Cepstra]:
    """Ways in which samples that are made up for an input may hold cepstra.

    shape: in which the model reads it. Samples have another number of elements where a side can have any size.
    """
    return Cepstra.likely(shape) if prod(shape) == prod(_concrete_shape(spec)) else iter(())


def _generator(spec: TensorSpec, seed: int) -> np.random.Generator:
    """What one input's samples are made with."""
    return np.random.default_rng([seed, zlib.crc32(spec.name.encode())])


def _plain(hint: InputHint | None) -> Signal:
    """The kind of signal that an input takes."""
    return _noise if hint is None or hint.cepstra is None else hint.cepstra.noise


def _words(count: int, manner: Manner) -> str:
    return ("1 synthetic sample" if count == 1 else f"{count} synthetic samples") + manner.words


def _concrete_shape(spec: TensorSpec) -> tuple[int, ...]:
    fallback = (_ANY_BATCH, *[_ANY_SIZE] * (len(spec.shape_signature) - 1))
    return tuple(size if size >= 0 else free for size, free in zip(spec.shape_signature, fallback, strict=False))


def _sample(
    spec: TensorSpec,
    shape: tuple[int, ...],
    hint: InputHint | None,
    generator: np.random.Generator,
    noise: Callable[[], Reals],
) -> npt.NDArray[Any]:
    kind = spec.dtype.kind
    if kind == "b":
        return generator.random(shape) < 0.5
    if kind == "f":
        return _scaled(noise(), hint or _REAL).astype(spec.dtype)
    if kind not in "iu":
        raise DataError(f"the input {spec.name!r} takes {_kind_words(spec)}, which cannot be made up; give data for it")
    limits = np.iinfo(spec.dtype)
    if spec.quantised and hint is not None:
        return _scaled(noise(), hint)  # real values, which the samples quantise
    if spec.quantised or (hint is None and spec.dtype.itemsize == 1):
        return np.round(_scaled(noise(), InputHint(limits.min, limits.max))).astype(spec.dtype)
    bounds = hint or _INDEX
    low, high = max(int(bounds.low), limits.min), min(int(bounds.high), limits.max)
    return generator.integers(low, high, shape, dtype=np.int64, endpoint=True).astype(spec.dtype)


def synthetic_words(spec: TensorSpec, hint: InputHint | None, shape: tuple[int, ...], is_scaled: bool) -> str:
    """What an input gets where there is no data, in words.

    shape: in which the model reads it. is_scaled: whether real values are chosen by what the first layers make of them.
    """
    kind = spec.dtype.kind
    if kind == "b":
        return "true or false at random"
    if kind not in "fiu":
        return f"nothing: it takes {_kind_words(spec)}; give data"
    is_real = kind == "f" or spec.quantised
    if not is_real and (hint is not None or spec.dtype.itemsize > 1):
        bounds = hint or _INDEX
        return f"whole numbers from {bounds.low:g} to {bounds.high:g} at random"
    return _words_of_reals(spec, hint, shape, is_scaled)


def _words_of_reals(spec: TensorSpec, hint: InputHint | None, shape: tuple[int, ...], is_scaled: bool) -> str:
    form = _form_words(_without_batch(_concrete_shape(spec)))
    if is_scaled and any(likely_cepstra(spec, shape)):
        return f"{form} or cepstra, whichever suits the first layers"
    if is_scaled and not (spec.quantised and form == _PICTURES):  # which take all codes
        return f"{form}, in the range that suits the first layers"
    if spec.dtype.kind == "f" or hint is not None:
        bounds = hint or _REAL
        return f"{form}, from {bounds.low:.4g} to {bounds.high:.4g}"
    return f"{form}, over all codes"


def _form_words(shape: tuple[int, ...]) -> str:
    form = _Form.of(shape)
    if form in (_Form.CHANNELS_LAST, _Form.CHANNELS_FIRST):
        sides = shape[:-1] if form is _Form.CHANNELS_LAST else shape[1:]
        return "smooth noise" if min(sides) < _SMALLEST_PICTURE else _PICTURES
    words = {_Form.NOTHING: "nothing to fill", _Form.WAVE: "noise correlated in time"}
    return words.get(form, "uncorrelated noise")


def _kind_words(spec: TensorSpec) -> str:
    return "text" if spec.dtype.kind in "SUO" else f"values of type {spec.dtype}"


def _scaled(noise: Reals, bounds: InputHint) -> Reals:
    middle, half = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
    return middle + half * noise.clip(-1.0, 1.0)


def _noises(
    manner: Manner, plain: Signal, shape: tuple[int, ...], count: int, generator: np.random.Generator
) -> Iterator[Callable[[], Reals]]:
    """What makes each element of each sample; the elements of a sequence have something in common."""
    kinds = (plain, *SIGNALS) if manner.varied else (plain,)
    for number in range(count):
        make = partial(kinds[number % len(kinds)], shape, generator)
        if manner.invocations == 1:
            yield make
            continue
        common = make()
        for _ in range(manner.invocations):
            yield partial(_blend, common, make)


def _blend(common: Reals, make: Callable[[], Reals]) -> Reals:
    return _IN_COMMON * common + (1 - _IN_COMMON) * make()


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Make one sample, mostly within -1 to 1, with a brightness and contrast of its own."""
    noise = np.reshape(_correlated(_without_batch(shape), generator), shape)
    return generator.normal(0.0, 0.25) + generator.uniform(0.25, 0.55) * noise


class _Form(Enum):
    """What an input looks like by its shape, without a batch of 1."""

    NOTHING = auto()
    CHANNELS_LAST = auto()
    CHANNELS_FIRST = auto()
    WAVE = auto()
    OTHER = auto()

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Form:
        if 0 in shape:
            return cls.NOTHING
        if len(shape) >= 3 and shape[-1] <= _MOST_CHANNELS and min(shape[:-1]) >= _SMALLEST_SIDE:
            return cls.CHANNELS_LAST
        if len(shape) == 3 and shape[0] <= _MOST_CHANNELS and min(shape[1:]) >= _SMALLEST_SIDE:
            return cls.CHANNELS_FIRST
        return cls.WAVE if len(shape) == 2 or (len(shape) == 1 and shape[0] >= _SHORTEST_WAVE) else cls.OTHER


def _without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if shape[:1] == (1,) else shape


def _correlated(shape: tuple[int, ...], generator: np.random.Generator) -> Reals:
    """Noise of mean 0 and variance 1 (about), correlated along the axes that look like space or time."""
    form = _Form.of(shape)
    if form is _Form.NOTHING:
        return np.zeros(shape)
    if form is _Form.CHANNELS_LAST:
        return _image(shape[:-1], shape[-1], generator)
    if form is _Form.CHANNELS_FIRST:
        return np.moveaxis(_image(shape[1:], shape[0], generator), -1, 0)
    if form is _Form.WAVE:
        return coloured(generator.standard_normal(shape), axes=1, slope=0.5)
    return generator.standard_normal(shape)


def _image(sides: tuple[int, ...], channels: int, generator: np.random.Generator) -> Reals:
    if min(sides) < _SMALLEST_PICTURE:
        return ground(sides, channels, 1.0, generator)  # more likely a spectrogram
    return picture(sides, channels, generator)
