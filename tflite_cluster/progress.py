"""How callers hear of the work while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage in words, the steps done, and the steps in all; with a Plan as the stage before long work."""


class Plan(str):
    """A plan in words, which takes the place of a stage in a call of `progress`: of one step, which is done."""

    __slots__ = ()


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
