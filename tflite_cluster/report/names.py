"""Names from a file made fit to be shown: they steer no terminal, and what tells them apart stays when they are cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_SEPARATORS = "/;"


def printable(name: str, most: int | None = None) -> str:
    """A name without control characters, which could steer a terminal, and cut in the middle to `most` characters."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    if most is None or len(clean) <= most:
        return clean
    head = (most - 1) // 2
    return f"{clean[:head]}…{clean[head + 1 - most :]}"


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Printable names of at most `most` characters.

    Where they have to be cut, what all have in common goes first, at either end, then the middle; names that would look
    the same then lose what those few have in common.
    """
    if all(len(name) <= most for name in names):
        return list(names)
    short = [printable(name, most) for name in _stripped(names)]
    for look, count in Counter(short).items():
        alike = [index for index, each in enumerate(short) if each == look]
        if count > 1 and len({names[index] for index in alike}) > 1:
            for index, name in zip(alike, _stripped([names[index] for index in alike]), strict=True):
                short[index] = printable(name, most)
    return short


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
