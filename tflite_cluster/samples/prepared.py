"""Samples read by one of the formats, before they are matched to inputs; and files in folders that formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .samples import SampleArray


@dataclass(frozen=True)
class GivenLabels:
    """The class of each sample as it was given, to be checked, and the place to name in errors."""

    values: npt.NDArray[Any]
    where: str


@dataclass(frozen=True)
class Prepared:
    """Arrays by input name, the labels if known ([samples]), the place to name in errors, and what else to tell of
    them, in words that follow it. counts: how many samples each file gave, where that may be several.
    """

    arrays: Mapping[str, SampleArray]
    labels: GivenLabels | None
    where: str
    note: str = ""
    counts: tuple[int, ...] | None = None


def files_in(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """The folder's files with one of the endings (lower case, with the dot), at any depth, in the order of names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
