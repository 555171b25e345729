"""The figures of the HTML report as SVG: text stays text, colours are those of the page, the same input gives the same
bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.figure import Figure as Plot

from ..result import SizePair
from ..search.points import Search

if TYPE_CHECKING:
    from .histograms import Histogram

_WIDTH: Final = 4.6
"""Inches, at 72 units each: so narrow that text can be read on a telephone, where the figure fills the width."""

_INK, _FAINT, _BEFORE, _AFTER, _MARK = "#010101", "#020202", "#030303", "#040404", "#050505"
_COLORS: Final = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _BEFORE: "var(--before)",
    _AFTER: "var(--after)",
    _MARK: "var(--mark)",
}
"""Stand-ins for the colours of the page, which differ between light and dark."""

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tflite-cluster",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
}


def size_figure(pairs: Sequence[tuple[str, SizePair]]) -> str:
    """Bars of what the file weighs installed and by each compressor, before and after."""
    largest = max(max(pair.before, pair.after) for _, pair in pairs)
    unit, factor = ("MB", 1e6) if largest >= 1e6 else ("kB", 1e3)

    def draw(figure: Plot) -> None:
        axes = figure.subplots()
        places = range(len(pairs))
        for shift, color, label in ((-0.2, _BEFORE, "before"), (0.2, _AFTER, "after")):
            sizes = [getattr(pair, label) / factor for _, pair in pairs]
            bars = axes.barh([place + shift for place in places], sizes, 0.38, color=color, label=label)
            axes.bar_label(bars, [_digits(size) for size in sizes], padding=3)
        axes.set_yticks(places, [name for name, _ in pairs])
        axes.set_xlabel(unit)
        axes.invert_yaxis()
        axes.margins(x=0.16)
        _legend(figure, axes)

    return _svg("sizes", draw, 0.75 + 0.55 * len(pairs))


def _digits(size: float) -> str:
    if size >= 100:
        return f"{size:,.0f}"
    return f"{size:.1f}" if size >= 1 else f"{size:.2g}"


@dataclass(frozen=True)
class Axis:
    """A value for each point of a search."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Measure:
    """What the points of a search are judged by: one value for each, which is not finite where it cannot be drawn."""

    label: str
    values: tuple[float, ...]
    limit: float | None = None
    limit_name: str = ""
    logarithmic: bool = False
    """Whether values of different magnitude are to be told apart."""
    seen: tuple[tuple[float, float], ...] = ()
    """What was lost on labelled samples, and its standard error, for each point; empty without labels."""


def curve_figure(search: Search, sizes: Axis, measure: Measure) -> str | None:
    """Sizes against what the points are judged by, with the chosen one marked; None if none can be drawn."""
    finite = [number for number, value in enumerate(measure.values) if math.isfinite(value)]
    if not finite:
        return None

    def draw(figure: Plot) -> None:
        axes = figure.subplots()
        for in_order, mark, label in ((False, "o", "all layers at once"), (True, "D", "layers in order")):
            here = [number for number in finite if search.points[number].in_order == in_order]
            if here:
                x, y = [sizes.values[n] for n in here], [measure.values[n] for n in here]
                axes.plot(x, y, mark, color=_BEFORE, markersize=6, label=label)
        if measure.seen:
            lost, errors = zip(*measure.seen, strict=True)
            axes.errorbar(sizes.values, lost, errors, fmt="_", color=_AFTER, linewidth=1, label="lost on these samples")
        if search.chosen is not None and (at := search.points.index(search.chosen)) in finite:
            style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": _MARK, "markersize": 13}
            axes.plot(sizes.values[at], measure.values[at], "o", label="chosen", markeredgewidth=2, **style)
        if measure.limit is not None:
            axes.axhline(measure.limit, color=_MARK, linestyle="--", linewidth=1, label=measure.limit_name)
        if measure.logarithmic:
            _logarithmic(axes, [measure.values[number] for number in finite])
        axes.margins(0.08)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))  # room for several decimals
        axes.grid(True)
        axes.set_xlabel(sizes.label)
        axes.set_ylabel(measure.label)
        _legend(figure, axes)

    return _svg("curve", draw, 3.3)


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """A logarithmic scale for a decade or more, with numbers at 1, 2 and 5 of each, or at the decades alone."""
    if max(values) < 10 * min(values):
        return
    axes.set_yscale("log")
    subs = (1, 2, 5) if max(values) < 100 * min(values) else (1,)
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def histogram_figure(histogram: Histogram, number: int) -> str:
    """How many weights had which values, and the values that are left as sticks below, as high as they are common."""

    def draw(figure: Plot) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        width = (histogram.high - histogram.low) / len(histogram.counts)
        lefts = [histogram.low + place * width for place in range(len(histogram.counts))]
        above.bar(lefts, histogram.counts, width, align="edge", color=_BEFORE)
        above.set_ylabel("before")
        below.vlines(
            [value for value, _ in histogram.centroids], 0, [count for _, count in histogram.centroids], color=_AFTER
        )
        below.set_ylabel("after")
        below.set_xlabel(histogram.unit)
        for axes in (above, below):
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=0)
            top = max(1, int(math.log10(max(axes.get_ylim()[1], 1))))
            axes.set_yticks([0, 1, 10**top], ["0", "1", f"{10**top:,}"])
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        figure.align_ylabels()

    return _svg(f"weights-{number}", draw, 2.7)


def _legend(figure: Plot, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=2)


def _svg(name: str, draw: Callable[[Plot], None], height: float) -> str:
    """An SVG element for a page that holds several: ids of its own, and no size but its proportions."""
    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Plot((_WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text
    )
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text).replace("xlink:href", "href")
    for stand_in, color in _COLORS.items():
        text = text.replace(stand_in, color)
    return text
