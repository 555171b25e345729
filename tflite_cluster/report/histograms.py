"""How the values of the larger weights are spread before and after: what a figure needs, and no weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..model.analysis import analyse
from ..model.read import Model, open_model
from ..model.storing.store import SUFFIXES
from ..model.weight import Weight

Array = npt.NDArray[Any]

_BINS: Final = 64
_MOST_CENTROIDS: Final = 256
_MOST_TENSORS: Final = 12


@dataclass(frozen=True)
class Histogram:
    """The values of one weight tensor before, in equal bins, and the values it holds after."""

    name: str
    unit: str
    """What the values are: real values, or codes of an integer type."""
    low: float
    high: float
    """The outer edges of the bins."""
    counts: tuple[int, ...]
    """How many weights each bin held before."""
    centroids: tuple[tuple[float, int], ...]
    """Each value held after, in rising order, and how many weights have it; empty if there are more than 256."""
    distinct: int
    """How many different values it holds after."""


def histograms(before: Path, after: Path) -> tuple[Histogram, ...]:
    """Histograms of the twelve largest weights that differ between a model and what came of it, in the file's order.

    A weight is found again by the name of its tensor. Raises ModelError if a file is not safe to read.
    """
    first, second = open_model(before), open_model(after)
    others = _by_name(second)
    pairs = [(weight, other) for key, weight in _by_name(first).items() if (other := _other(others, *key)) is not None]
    changed = [
        (old, new)
        for old, new in pairs
        if old.count == new.count and first.bytes_of(old.span) != second.bytes_of(new.span)
    ]
    largest = sorted(range(len(changed)), key=lambda at: -changed[at][0].count)[:_MOST_TENSORS]
    return tuple(_histogram(first, second, *changed[at]) for at in sorted(largest))


def _other(others: dict[tuple[str, int], Weight], name: str, number: int) -> Weight | None:
    """The weight of that name, or its codes, to which storing gives a name of their own."""
    names = (name, *(name + suffix for suffix in SUFFIXES.values()))
    return next((others[each, number] for each in names if (each, number) in others), None)


def _by_name(model: Model) -> dict[tuple[str, int], Weight]:
    """Weights by the name of their tensor, and how many before have the same one."""
    seen: Counter[str] = Counter()
    named: dict[tuple[str, int], Weight] = {}
    for weight in analyse(model).weights:
        named[weight.tensor.name, seen[weight.tensor.name]] = weight
        seen[weight.tensor.name] += 1
    return named


def _histogram(first: Model, second: Model, old: Weight, new: Weight) -> Histogram:
    """Codes as they are stored where both models store the same type with the same scales; else real values."""
    before, after = old.codes(first), new.codes(second)
    as_codes = old.storage.type == new.storage.type and not old.storage.is_float
    as_codes = as_codes and np.array_equal(old.scale, new.scale)
    if not as_codes:
        before, after = _real(old, before), _real(new, after)
    counts, edges = _binned(before, as_codes)
    held, times = np.unique(after, return_counts=True)
    first.forget(old.span)
    second.forget(new.span)
    return Histogram(
        name=old.tensor.name,
        unit=f"{old.storage.type.lower()} code" if as_codes else "value",
        low=float(edges[0]),
        high=float(edges[-1]),
        counts=tuple(counts.tolist()),
        centroids=tuple(zip(held.tolist(), times.tolist(), strict=True)) if len(held) <= _MOST_CENTROIDS else (),
        distinct=len(held),
    )


def _real(weight: Weight, codes: Array) -> Array:
    if weight.storage.is_float:
        return codes
    real = (codes.reshape(weight.scale_groups.shape).astype(np.float64) - weight.zero) * weight.scale.reshape(1, -1, 1)
    return real.ravel()


def _binned(values: Array, as_codes: bool) -> tuple[Array, Array]:
    """Counts and edges of bins: one for each code where these are few enough."""
    low, high = float(values.min()), float(values.max())
    if as_codes and high - low < _MOST_CENTROIDS:
        return np.histogram(values, int(high - low) + 1, (low - 0.5, high + 0.5))
    return np.histogram(values, _BINS, (low, high))
