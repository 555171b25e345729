"""What patches weigh, in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..packing.patches import DIFFERS, EXTRA, Differ
from ..result import Update
from .names import printable

_MOST_NAMED = 3
"""Most unmatched weights that are named."""


def update_line(update: Update) -> str:
    """The size of the patch from the last release, and the weights that were kept close to it or not."""
    patches = "not measured" if update.patches is None else patch_words(update.patches)
    line = f"Patch from {printable(update.base)}: {patches}; {update.matched} weights kept close to it"
    if not update.unmatched:
        return line
    named = [f"'{printable(each.name)}' ({printable(each.reason)})" for each in update.unmatched[:_MOST_NAMED]]
    more = len(update.unmatched) - len(named)
    return f"{line}, but not {', '.join(named)}{f' and {more} more' if more else ''}"


def shortest_patch(update: Update) -> int | None:
    """Bytes of the smaller patch; None if none was measured."""
    return min((size for size in (update.patches or {}).values() if size is not None), default=None)


def patch_words(patches: Mapping[str, int | None]) -> str:
    """The bytes by each differ, or why there are none, with the remedy."""
    return ", ".join(f"{DIFFERS[name].words} {_size_or_reason(DIFFERS[name], size)}" for name, size in patches.items())


def _size_or_reason(differ: Differ, size: int | None) -> str:
    if size is not None:
        return f"{size:,} bytes"
    if not differ.is_available:
        return f"not measured (pip install 'tflite-cluster[{EXTRA}]')"
    return "not measured (it takes too long or too much memory)"
