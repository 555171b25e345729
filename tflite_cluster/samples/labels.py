"""Labels of samples in a folder: from class folders, or from a file that lists them."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .load import UNREADABLE

_HEADINGS: Final = frozenset({"file", "filename", "path", "image", "name"})

Labelled = tuple[list[Path], npt.NDArray[np.int64] | None, str]
"""Files, the class of each if known, and where the numbers of the classes come from, in words."""


def label_files(
    folder: Path, files: list[Path], table: Path | None, known: Sequence[str], classes: Collection[int]
) -> Labelled:
    """Classes of files in a folder.

    table: a CSV file with lines `file,label`; only the files listed are taken. Without one, the folders that
    files lie in are their classes, if there are several. known: the model's own names of its classes. classes: how many
    of them an output has, for each output: folders are counted only if they are as many.
    """
    if table is not None:
        listed = _read_table(table, folder, files)
        files = [path for path in files if path in listed]
        numbers, words = _numbers([listed[path] for path in files], known, "labels", table.name)
        return files, numbers, words
    names = [path.relative_to(folder).parts[0] for path in files]
    nested = all(len(path.relative_to(folder).parts) > 1 for path in files)
    if not nested or (len(set(names)) == 1 and not _match(set(names), known)):
        return files, None, ""
    if len(set(names)) not in classes and not _are_numbers(set(names)) and not _match(set(names), known):
        return files, None, f"no labels: {_why_no_classes(set(names), known)}"
    numbers, words = _numbers(names, known, "class folders", folder.name)
    return files, numbers, words


def load_label_array(path: Path) -> npt.NDArray[Any]:
    """The labels of a .npy file; they are checked against the samples later."""
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except UNREADABLE as error:
        raise DataError(f"{path}: not a .npy file of plain numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: an archive of several arrays; labels are one array in a .npy file")
    return array


def _read_table(table: Path, folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError as error:
        raise DataError(f"{table}: there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a CSV file in UTF-8: {error}") from error
    if rows and rows[0][0].strip().lower() in _HEADINGS:
        del rows[0]
    places = {path.relative_to(folder).as_posix(): path for path in files}
    listed: dict[Path, str] = {}
    for row in rows:
        name = row[0].strip().replace("\\", "/")
        if len(row) < 2 or not row[1].strip():
            raise DataError(f"{table}: '{name}' has no label; each line is file,label")
        if name not in places:
            raise DataError(f"{table}: there is no file '{name}' of a known kind in {folder}")
        label = row[1].strip()
        if listed.setdefault(places[name], label) != label:
            raise DataError(f"{table}: '{name}' has two labels, {listed[places[name]]} and {label}; keep one of them")
    if not listed:
        raise DataError(f"{table}: there are no labels in it; each line is file,label")
    return listed


def _numbers(names: list[str], known: Sequence[str], what: str, where: str) -> tuple[npt.NDArray[np.int64], str]:
    """Numbers of named classes: the names themselves, their places in the model's label file, or in their own order."""
    distinct = set(names)
    matched = _match(distinct, known)
    if _are_numbers(distinct):
        numbers, words = {name: int(name) for name in distinct}, f"numbers of the {what}"
    elif matched:
        numbers, words = matched, f"{what} found in the model's label file"
    elif what == "labels":
        raise DataError(
            f"{where}: the label {min(distinct)!r} is no number, and not all labels are in a label file of the model; "
            "give class numbers counted from 0"
        )
    else:
        numbers = {name: number for number, name in enumerate(sorted(distinct))}
        words = f"classes in the order of the {len(numbers)} folders' names"
    return np.array([numbers[name] for name in names], np.int64), words


def _are_numbers(names: set[str]) -> bool:
    return all(name.isascii() and name.isdecimal() and len(name) < 10 for name in names)


def _why_no_classes(names: set[str], known: Sequence[str]) -> str:
    """Why the folders of these names tell no classes."""
    unknown = sorted(name for name in names if not _match({name}, known))
    if known and len(unknown) < len(names):
        return f"the folder '{unknown[0]}' does not stand just once in the model's label file"
    return f"there are {len(names)} class folders, and no output has as many classes"


def _match(names: set[str], known: Sequence[str]) -> dict[str, int]:
    """Where the names stand among those that the model knows; nothing unless each stands there once."""
    places: dict[str, list[int]] = {}
    for number, name in enumerate(known):
        places.setdefault(_plain(name), []).append(number)
    found = {name: places.get(_plain(name), []) for name in names}
    return {name: at[0] for name, at in found.items()} if all(len(at) == 1 for at in found.values()) else {}


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ")
