"""The elements that are compared of the tensors that candidates are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..interpreter.runtime import Kernels
from ..interpreter.worker import each_run, open_model
from .moments import Floats, Probe

_MOST_ELEMENTS: Final = 8192
"""Elements of an output that are compared at most: some places of a picture say as much as all."""


@dataclass(frozen=True)
class OutputView:
    """What is compared of a tensor: one row of all its elements, or rows along its last axis.

    Of a large tensor, a random choice is compared, which is always the same.
    """

    probe: Probe
    by_last_axis: bool

    def some(self, values: Floats) -> Floats:
        """The same elements of every tensor of one size, (rows, columns)."""
        if not self.by_last_axis or not values.ndim:
            flat = values.reshape(1, -1)
            return flat[:, places(flat.size)]
        rows = values.reshape(-1, values.shape[-1]) if values.size else values.reshape(1, 0)
        return rows[_chosen(len(rows), max(_MOST_ELEMENTS // max(rows.shape[1], 1), 1))]


def places(elements: int) -> npt.NDArray[np.intp] | slice:
    """The elements that are compared of a tensor that has so many."""
    return _chosen(elements, _MOST_ELEMENTS)


@lru_cache(maxsize=64)
def _chosen(count: int, most: int) -> npt.NDArray[np.intp] | slice:
    if count <= most:
        return slice(None)
    return np.sort(np.random.default_rng(count).choice(count, most, replace=False))


def view_outputs(
    path: Path,
    key: str | None,
    batch: Mapping[str, npt.NDArray[Any]],
    views: Sequence[OutputView],
    kernels: Kernels,
    threads: int,
    preserve_all_tensors: bool = True,
    edits: Mapping[int, bytes] | None = None,
) -> list[list[Floats]]:
    """The compared elements of each sample: [sample][view] -> (rows, columns). Runs in the interpreter's process.

    preserve_all_tensors: whether some of the tensors are not outputs of the model. edits: bytes to put at these offsets
    of the file first.
    """
    model = open_model(path, kernels, threads, preserve_all_tensors=preserve_all_tensors, edits=edits)
    return [[view.some(view.probe.read(model)) for view in views] for _ in each_run(model, key, batch)]
