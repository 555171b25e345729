"""What the child process does with models: plain functions, called through `InterpreterProcess.call`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import InterpreterFailure
from .interface import ModelInterface, Sequences
from .runtime import Kernels, OpenModel

_OPEN_MODELS = 4
_OPEN_BYTES = 1 << 30


def describe(path: Path, kernels: Kernels = Kernels.NO_DELEGATE) -> ModelInterface:
    """Say what the model at `path` takes and gives; the kernels are only needed to open it."""
    return OpenModel(path, kernels, threads=1).interface()


def run(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    kernels: Kernels = Kernels.DEFAULT,
    threads: int = 1,
) -> dict[str, list[npt.NDArray[Any]]]:
    """Run samples one by one, each from the model's initial state.

    `batch` maps each input name to an array [samples, *shape of the input], or is one of Sequences; the result maps
    each output name to one raw (still quantised) array per sample, whose shapes may differ.
    """
    model = open_model(path, kernels, threads)
    results = [run_sample(model, key, batch, sample) for sample in range(batch_length(batch))]
    return {name: [result[name] for result in results] for name in results[0]} if results else {}


def try_run(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    kernels: Kernels,
    threads: int,
    preserve_all_tensors: bool,
) -> None:
    """Run the samples of a batch and give nothing back; raises InterpreterFailure where that cannot be done."""
    model = open_model(path, kernels, threads, preserve_all_tensors=preserve_all_tensors)
    for _ in each_run(model, key, batch):
        pass


def each_run(model: OpenModel, key: str | None, batch: Mapping[str, npt.NDArray[Any]]) -> Iterator[int]:
    """The numbers of a batch's samples, each once the model has been run on it and holds what it computed."""
    for sample in range(batch_length(batch)):
        run_sample(model, key, batch, sample)
        yield sample


def run_sample(
    model: OpenModel, key: str | None, batch: Mapping[str, npt.NDArray[Any]], sample: int
) -> dict[str, npt.NDArray[Any]]:
    """Run one sample of a batch from the initial state, a sequence to its end; give the outputs of the last run."""
    inputs = {name: values[sample, ...] for name, values in batch.items()}
    if not isinstance(batch, Sequences):
        return model.run(key, inputs)
    first, *others = ({name: values[i, ...] for name, values in inputs.items()} for i in range(batch_length(inputs)))
    outputs = model.run(key, first)
    for each in others:
        state = {name: outputs[source] for name, source in batch.feedback.items()}
        outputs = model.run_on(key, {**each, **state})
    return outputs


def batch_length(batch: Mapping[str, npt.NDArray[Any]]) -> int:
    """How many samples a batch holds: one where there are no inputs."""
    return len(next(iter(batch.values()))) if batch else 1


def open_model(
    path: Path,
    kernels: Kernels,
    threads: int,
    *,
    preserve_all_tensors: bool = False,
    edits: Mapping[int, bytes] | None = None,
) -> OpenModel:
    """Open a model, or give the one already open: the last few stay open until their file changes."""
    place = (path.resolve(), kernels, threads, preserve_all_tensors, frozenset((edits or {}).items()))
    try:
        status = path.stat()
    except OSError as error:
        raise InterpreterFailure(f"it cannot be opened: {error}") from error
    version = (status.st_ino, status.st_mtime_ns, status.st_size)
    entry = _open_models.pop(place, None)
    if entry is None or entry.version != version:
        entry = None  # closes an outdated model before the next is opened: there may not be room for both
        model = OpenModel(path, kernels, threads, preserve_all_tensors=preserve_all_tensors, edits=edits)
        entry = _Entry(version, model)
    _open_models[place] = entry
    _close_oldest()
    return entry.model


@dataclass(frozen=True)
class _Entry:
    version: tuple[int, int, int]
    model: OpenModel

    @property
    def size(self) -> int:
        return self.version[2]


_open_models: OrderedDict[tuple[Path, Kernels, int, bool, frozenset[tuple[int, bytes]]], _Entry] = OrderedDict()


def _close_oldest() -> None:
    """Keep at least two models open, so that a model and its clustered copy can take turns."""
    while len(_open_models) > 2 and (
        len(_open_models) > _OPEN_MODELS or sum(entry.size for entry in _open_models.values()) > _OPEN_BYTES
    ):
        _open_models.popitem(last=False)
