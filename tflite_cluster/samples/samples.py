"""Samples for a model's inputs, kept where they are and converted batch by batch to what the interpreter takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import Sequences, TensorSpec


class SampleArray(Protocol):
    """What is used of an array, in memory, mapped from a file, or spread over the files of a folder."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Count of samples, then the shape of one."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class InputSamples:
    """Samples of one input as they were given, and `shape`, what one of them must look like to the interpreter."""

    values: SampleArray
    spec: TensorSpec
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Samples start to stop - 1 as [samples, *shape], in the input's own dtype, quantised if it is."""
        values = self.values[start:stop]
        if self.spec.quantised and np.issubdtype(values.dtype, np.floating):
            values = self.spec.quantise(values)
        values = np.ascontiguousarray(values.astype(self.spec.dtype, copy=False))
        return np.reshape(values, (len(values), *self.shape))


@dataclass(frozen=True)
class Samples:
    """Samples for all inputs of one signature; `labels` [count] is the right class of each, where known.

    `source` says in words where they come from.
    """

    inputs: dict[str, InputSamples]
    labels: npt.NDArray[np.int64] | None
    source: str
    synthetic: bool
    invocations: int = 1
    """How many consecutive elements of each input make one sample, for which a model with state is run so often."""
    feedback: Mapping[str, str] = field(default_factory=dict)
    """Of a sequence, the inputs that get an output of the invocation before: input name -> output name."""
    constant_outputs: tuple[str, ...] = ()
    """Names of outputs that are the same for all of these samples, as far as was looked, which is at synthetic ones."""

    @property
    def count(self) -> int:
        """How many samples there are; a model without inputs is run once."""
        return min((len(values) // self.invocations for values in self.inputs.values()), default=1)

    def batch(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Samples start to stop - 1: input name -> [samples, *shape of the input], as the interpreter takes them.

        Samples of several invocations come as Sequences.
        """
        if self.invocations == 1:
            return {name: values.batch(start, stop) for name, values in self.inputs.items()}
        found: dict[str, npt.NDArray[Any]] = {}
        for name, values in self.inputs.items():
            several = values.batch(start * self.invocations, stop * self.invocations)
            found[name] = np.reshape(several, (-1, self.invocations, *values.shape))
        return Sequences(found, self.feedback)

    def first_inputs(self) -> dict[str, npt.NDArray[Any]]:
        """What the first invocation of the first sample takes: input name -> array of the input's shape."""
        return {name: values.batch(0, 1)[0] for name, values in self.inputs.items()}


def fit_samples(values: SampleArray, spec: TensorSpec, where: str) -> InputSamples:
    """Match given samples to an input; raise DataError, beginning with `where`, if their shape or type does not fit."""
    _check_type(values.dtype, spec, where)
    shape = sample_shape(values.shape[1:], spec)
    if shape is None:
        raise DataError(
            f"{where}: samples of shape {_shape(values.shape[1:])} do not fit the input {spec.name!r} of shape "
            f"{_shape(spec.shape_signature)}; the first axis of the array ({values.shape[0]}) must count the samples"
            + (", and the axes of a sample be in the input's order" if _transposed(values.shape[1:], spec) else "")
        )
    _check_values(values, spec, where)
    return InputSamples(values, spec, shape)


def sample_shape(given: tuple[int, ...], spec: TensorSpec) -> tuple[int, ...] | None:
    """Say which shape of the input a sample of shape `given` is meant for; None if for none.

    A sample may lack the leading batch dimension, or come in any shape with as many elements as the input; but not with
    the input's own axes in another order, as when channels come first.
    """
    wanted = spec.shape_signature
    for shape in (given, (1, *given)):
        if len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True)):
            return shape
    return spec.shape if prod(given) == prod(spec.shape) and not _transposed(given, spec) else None


def _transposed(given: tuple[int, ...], spec: TensorSpec) -> bool:
    sizes, wanted = ([size for size in shape if size != 1] for shape in (given, spec.shape))
    return sizes != wanted and sorted(sizes) == sorted(wanted)


def _check_type(dtype: np.dtype[Any], spec: TensorSpec, where: str) -> None:
    """Refuse types that cannot be turned into the input's without guessing."""
    if spec.dtype.kind == "f" or spec.quantised:
        fits = dtype.kind in "biuf"
    elif spec.dtype.kind in "iu":
        fits = dtype.kind in "iu"
    elif spec.dtype.kind == "S":
        fits = dtype.kind == "S"
    else:
        fits = dtype == spec.dtype
    if fits:
        return
    remedy = "give codes or real values" if spec.quantised else f"convert them to {spec.dtype}"
    kind = "text" if dtype.kind in "US" else str(dtype)
    raise DataError(
        f"{where}: samples of type {kind} do not fit the input {spec.name!r} of type {spec.dtype}; {remedy}"
    )


def _check_values(values: SampleArray, spec: TensorSpec, where: str) -> None:
    """Refuse NaN and infinity, and integers that the input's type does not hold, without reading all at once."""
    step = max(1, (16 << 20) // max(1, prod(values.shape[1:]) * values.dtype.itemsize))
    narrower = values.dtype.kind in "iu" and spec.dtype.kind in "iu" and not np.can_cast(values.dtype, spec.dtype)
    if not narrower and values.dtype.kind != "f":
        return
    for start in range(0, len(values), step):
        part = values[start : start + step]
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # what the input's type cannot hold becomes infinite
                bad = ~np.isfinite(part.astype(spec.dtype) if spec.dtype.kind == "f" else part)
            problem, remedy = f"NaN, infinity or more than {_largest(spec)}", "leave that sample out"
        else:
            limits = np.iinfo(spec.dtype)
            bad = (part < limits.min) | (part > limits.max)
            problem = f"a value outside {limits.min} to {limits.max}"
            remedy = f"give {spec.dtype} codes" + (" or real values as floats" if spec.quantised else "")
        if bad.any():
            number = start + int(np.argwhere(bad)[0, 0])
            raise DataError(f"{where}: sample {number} (counted from 0) holds {problem}; {remedy}")


def _largest(spec: TensorSpec) -> str:
    return f"{np.finfo(spec.dtype if spec.dtype.kind == 'f' else np.float64).max:.3g}"


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("any" if size < 0 else str(size) for size in shape) + "]"
