"""Pages for a browser: the environment that fills their templates, and the parts that pages share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..units import size_words
from ..version import __version__
from .names import printable

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: tuple[int, ...] = (0,)
    """Columns of words, which are set to the left."""
    marked: int | None = None


@dataclass(frozen=True)
class Bar:
    """Bytes before and after, beside those of the largest."""

    name: str
    words: str
    before: float
    after: float
    """Shares of the width, 0 to 100."""


def largest(sizes: Sequence[tuple[str, float, float]], most: int) -> tuple[Bar, ...]:
    """Bars of the names that take most bytes after, and one for the sum of the others.

    sizes: name, bytes before and bytes after.
    """
    ordered = sorted(sizes, key=lambda each: -each[2])
    shown, others = ordered[:most], ordered[most:]
    if others:
        shown.append((f"{len(others)} others", sum(each[1] for each in others), sum(each[2] for each in others)))
    widest = max((size for _, *pair in shown for size in pair), default=0.0) or 1.0
    return tuple(
        Bar(printable(name), size_words(round(before), round(after)), 100 * before / widest, 100 * after / widest)
        for name, before, after in shown
    )


def fill(template: str, **values: Any) -> str:
    """The page that a template in this folder gives with these values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tflite_cluster.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = _breakable
    page = environment.get_template(template).render(version=__version__, **values)
    return page.encode("utf-8", "replace").decode("utf-8")  # a name may hold half of a surrogate pair


def _breakable(text: str) -> Markup:
    """Text whose lines may break behind what separates the parts of a name."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[/;:])", text))
