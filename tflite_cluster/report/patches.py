"""What patches weigh, in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..packing.patches import DIFFERS, EXTRA


def patch_words(patches: Mapping[str, int | None]) -> str:
    """The bytes by each differ, or how to install one that is missing."""
    return ", ".join(f"{DIFFERS[name].words} {_size_or_remedy(size)}" for name, size in patches.items())


def _size_or_remedy(size: int | None) -> str:
    return f"not measured (pip install 'tflite-cluster[{EXTRA}]')" if size is None else f"{size:,} bytes"
