"""What the child process does with the package tflite-micro: called through `InterpreterProcess.call`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure

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


def count_equal(model: Path, compressed: bytes, inputs: int, outputs: int, seed: int) -> tuple[int, int]:
    """How many of some random samples give the same output bytes in both models, and the number of samples."""
    size = 10 * model.stat().st_size + _ARENA
    pair = [_interpreter(content, size) for content in (model.read_bytes(), compressed)]
    random = np.random.default_rng(seed)
    equal = 0
    for _ in range(_SAMPLES):
        sample = [_random(pair[0].get_input_details(index), random) for index in range(inputs)]
        one, other = (_run(interpreter, sample, outputs) for interpreter in pair)
        equal += one == other
    return equal, _SAMPLES


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
