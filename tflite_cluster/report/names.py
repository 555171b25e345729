"""Names from a file made fit to be shown: they steer no terminal, and what tells them apart stays when they are cut."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

_SEPARATORS: Final = "/;"
_LEAST_PART: Final = 4


def printable(name: str, most: int | None = None) -> str:
    """A name without control characters, which could steer a terminal, and cut in the middle to `most` characters."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    if most is None or len(clean) <= most:
        return clean
    head = (most - 1) // 2
    return f"{clean[:head]}…{clean[head + 1 - most :]}"


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Printable names of at most `most` characters.

    Where they have to be cut, only the first of fused names stays, then parts at either end that all
    share go, then the middle. Names that would look the same then lose what those few have in common, or else, if that
    helps, the middle of each part.
    """
    if all(len(name) <= most for name in names):
        return list(names)
    stripped = _stripped(_first_of_fused(names))
    short = [printable(name, most) for name in stripped]
    for alike in _alike(short, names):
        for index, name in zip(alike, _stripped([names[index] for index in alike]), strict=True):
            short[index] = printable(name, most)
    for alike in _alike(short, names):
        squeezed = [_squeezed(stripped[index], most) for index in alike]
        if len(set(squeezed)) == len({names[index] for index in alike}):
            for index, name in zip(alike, squeezed, strict=True):
                short[index] = name
    return short


def _alike(short: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Groups of different names that look the same."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, look in enumerate(short):
        groups[look].append(index)
    return [group for group in groups.values() if len({names[index] for index in group}) > 1]


def _first_of_fused(names: Sequence[str]) -> list[str]:
    """The first of the names that converters put together for fused operators, if that tells them apart."""
    firsts = [name.partition(";")[0] + ("…" if ";" in name else "") for name in names]
    return firsts if len(set(firsts)) == len(set(names)) else list(names)


def _squeezed(name: str, most: int) -> str:
    """A name whose longest parts are cut in the middle; where the parts are too many, the name as a whole."""
    parts = re.split(f"([{_SEPARATORS}])", name)
    for longest in range(most, _LEAST_PART - 1, -1):
        if sum(min(len(part), longest) for part in parts) <= most:
            return "".join(printable(part, longest) for part in parts)
    return printable(name, most)


def _stripped(names: Sequence[str]) -> list[str]:
    """Names without the path that all begin with and the one that all end with, for which an ellipsis stands."""
    different = set(names)
    if len(different) < 2:
        return list(names)
    start = _length_of_common(list(different))
    stop = _length_of_common([name[start:][::-1] for name in different])
    return [("…" if start else "") + name[start : len(name) - stop] + ("…" if stop else "") for name in names]


def _length_of_common(names: list[str]) -> int:
    """Length of the path that all begin with, its last separator included."""
    first, last = min(names), max(names)
    common = next((at for at, letter in enumerate(first) if not last.startswith(letter, at)), len(first))
    return max(first.rfind(separator, 0, common) for separator in _SEPARATORS) + 1
