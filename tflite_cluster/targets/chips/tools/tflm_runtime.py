"""What the child process does with the package tflite-micro: called through `InterpreterProcess.call`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ....errors import InterpreterFailure

_SAMPLES: Final = 8
_ARENA: Final = 1 << 24
"""Bytes of the interpreter's arena, besides ten times the model."""


def compress(model: Path, specification: str) -> bytes:
    """The model as tflite-micro's own compressor makes it; raises InterpreterFailure if it refuses."""
    from tflite_micro import compression

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # each says that a tensor was not compressed, or grew
            return bytes(compression.compress(model.read_bytes(), compression.parse_yaml(specification)))
    except Exception as error:
        raise InterpreterFailure(f"tflite-micro's compressor fails: {error.__cause__ or error}") from None


class Runs(NamedTuple):
    """What random samples gave in two models."""

    samples: int
    equal: int
    """Samples with the same output bytes in both."""
    distinct: int
    """Different outputs of the first model: where that is 1, equal outputs prove little."""


def compare_runs(model: Path, compressed: bytes, inputs: int, outputs: int, seed: int) -> Runs:
    """Run both models in tflite-micro's interpreter on random samples.

    Raises InterpreterFailure if it cannot run them, or computes something else each time, as with kernels that take
    hybrid operators for float ones.
    """
    content = model.read_bytes()
    arena = 10 * len(content) + _ARENA
    first, again, other = (_interpreter(each, arena) for each in (content, content, compressed))
    random = np.random.default_rng(seed)
    equal, seen = 0, set()
    for _ in range(_SAMPLES):
        sample = [_random(first.get_input_details(index), random) for index in range(inputs)]
        one = _run(first, sample, outputs)
        if _run(again, sample, outputs) != one:
            raise InterpreterFailure("tflite-micro gives the clustered model other outputs each time it runs")
        equal += _run(other, sample, outputs) == one
        seen.add(tuple(one))
    return Runs(_SAMPLES, equal, len(seen))


def _interpreter(content: bytes, arena: int) -> Any:
    from tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(content, arena_size=arena)
    except Exception as error:
        raise InterpreterFailure(f"tflite-micro cannot run the model: {error}") from None


def _run(interpreter: Any, sample: list[npt.NDArray[Any]], outputs: int) -> list[bytes]:
    try:
        for index, values in enumerate(sample):
            interpreter.set_input(values, index)
        interpreter.invoke()
        return [interpreter.get_output(index).tobytes() for index in range(outputs)]
    except Exception as error:
        raise InterpreterFailure(f"tflite-micro cannot run the model: {error}") from None


def _random(details: dict[str, Any], random: np.random.Generator) -> npt.NDArray[Any]:
    """Values over the whole range of the small integer types; 0 or 1 for larger ones, which may be indices."""
    dtype, shape = np.dtype(details["dtype"]), tuple(details["shape"])
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return random.integers(0, 2, shape).astype(dtype)
