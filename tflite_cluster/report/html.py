"""The result as one page for a browser, which opens without a network: figures, and the tables behind them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .. import __version__
from ..config import Config
from ..errors import ConfigError
from ..fidelity.gates import GATES, MAX_DROP, MIN_SQNR
from ..files import write_text
from ..result import Result, SizePair, Sizes, TensorResult
from ..run.worth import why_not_worth_it
from ..search.points import Search
from ..units import decibels
from .findings import Line, fidelity_lines
from .histograms import Histogram
from .json import to_json
from .names import printable
from .storing import benchmark_line, estimate_line, type_words

if TYPE_CHECKING:
    from markupsafe import Markup

    from .figures import Measure

_TONES: Final = {"green": "good", "bold green": "good", "bold red": "bad", "yellow": "warn", "bold yellow": "warn"}


@dataclass(frozen=True)
class _Table:
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: tuple[int, ...] = (0,)
    """Columns of words, which are set to the left."""
    marked: int | None = None


@dataclass(frozen=True)
class _Figure:
    title: str
    words: str
    """What can be seen in it, also for those who do not see it."""
    svg: Markup | None
    """None where there is nothing to draw: then the table has to do."""
    table: _Table
    heading: bool = False


@dataclass(frozen=True)
class _Section:
    id: str
    title: str
    words: str = ""
    figures: tuple[_Figure, ...] = ()
    tables: tuple[_Table, ...] = ()


def require_html() -> None:
    """Raise ConfigError if what draws the page is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"an HTML report needs {error.name}: pip install 'tflite-cluster[report]', or name the report .json"
        ) from None


def write_html(result: Result, histograms: Sequence[Histogram], path: Path, written: bool) -> None:
    """Write the page as a file; raises OutputError if that cannot be done."""
    write_text(path, to_html(result, histograms, written))


def to_html(result: Result, histograms: Sequence[Histogram], written: bool) -> str:
    """The whole page. The same result gives the same bytes, given the same version of the plotting library."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tflite_cluster.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = _breakable
    page = environment.get_template("page.html").render(
        source=printable(result.source),
        outcome=_outcome(result, written),
        refused=not written,
        keys=_keys(result),
        verdict=[(line.strip(), _TONES.get(style, "")) for line, style in _findings(result)],
        sections=_sections(result, histograms, written),
        tool=f"tflite-cluster {__version__}",
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a name may hold half of a surrogate pair


def _findings(result: Result) -> list[Line]:
    """The verdict, speed and memory if they were measured, and what storing codes would give."""
    lines = list(fidelity_lines(result.fidelity))
    if result.benchmark is not None:
        lines.append((benchmark_line(result.benchmark), ""))
    estimate = estimate_line(result)
    if estimate is not None:
        lines.append((estimate, ""))
    return lines


def _outcome(result: Result, written: bool) -> str:
    if not written:
        small = why_not_worth_it(result) or "it would not zip smaller"
        why = small if result.fidelity.passed else "a limit is broken or could not be measured"
        return f"No model was written: {why}. The figures are those of the candidate that was refused."
    return "" if result.destination is None else f"Written: {printable(str(result.destination))}"


def _keys(result: Result) -> list[tuple[str, str]]:
    keys: list[tuple[str, str]] = [("Verdict", result.fidelity.verdict)]
    if result.sizes is not None:
        zip9 = result.sizes.zip9
        keys.append(("zip -9", f"{zip9.ratio:.2f} times smaller" if zip9.after < zip9.before else "no smaller"))
    found = [(gate.title, gate.found(result.fidelity)) for gate in GATES]
    return keys + [(title, words) for title, words in found if words is not None]


def _sections(result: Result, histograms: Sequence[Histogram], written: bool) -> list[_Section]:
    weights = [tensor for tensor in result.tensors if tensor.role == "weight"]
    search = result.strategy.search
    found = [
        _sizes(result.sizes) if result.sizes is not None else None,
        _curve(search, result.config, result.strategy.words) if search is not None and search.points else None,
        _layers(weights, search) if weights else None,
        _weights(histograms) if histograms else None,
        _left_alone(result.tensors),
        _settings(result, written),
    ]
    return [section for section in found if section is not None]


def _sizes(sizes: Sizes) -> _Section:
    from .figures import size_figure

    named: list[tuple[str, SizePair | None]] = [
        ("not at all", sizes.file),
        ("gzip -6", sizes.gzip6),
        ("zip -9", sizes.zip9),
        ("xz", sizes.xz),
    ]
    pairs = [(name, pair) for name, pair in named if pair is not None]
    rows = [(name, f"{pair.before:,}", f"{pair.after:,}", f"{pair.ratio:.2f}") for name, pair in pairs]
    words = (
        f"The whole file by compressor: zip -9 takes {sizes.zip9.before:,} bytes before, {sizes.zip9.after:,} after."
    )
    table = _Table("Bytes by compressor", ("Packed", "Bytes before", "After", "Times smaller"), rows)
    return _Section("sizes", "Sizes", figures=(_Figure("Sizes", words, _safe(size_figure(pairs)), table),))


def _curve(search: Search, config: Config, how: str) -> _Section:
    from .figures import curve_figure

    chosen = None if search.chosen is None else search.points.index(search.chosen)
    rows = [
        (
            f"{point.multiplier:.3g}" + (", chosen" if number == chosen else ""),
            "yes" if point.in_order else "no",
            f"{point.bits:.2f}",
            f"{point.quality.distortion:.3g}",
            "" if point.quality.expected_loss is None else f"{point.quality.expected_loss:.2f}",
            "" if point.quality.agreement is None else f"{100 * point.quality.agreement:.2f}",
            decibels(point.quality.sqnr),
        )
        for number, point in enumerate(search.points)
    ]
    columns = ("Multiplier", "In order", "Bits/weight", "Distortion", "Risk, points", "Agreement %", "SQNR dB")
    table = _Table("Points visited, in that order; the chosen one is bold", columns, rows, (), chosen)
    measure = _measure(search, config)
    words = f"{_count(len(rows), 'candidate')}: the entropy of their weights against {measure.label}. "
    if search.chosen is None:
        words += "None is good enough."
    else:
        words += f"Chosen: {search.chosen.bits:.2f} bits per weight at multiplier {search.chosen.multiplier:.3g}."
    drawn = _Figure("Rate and distortion", words, _safe(curve_figure(search, measure)), table)
    return _Section("search", "Search", printable(how), (drawn,))


def _measure(search: Search, config: Config) -> Measure:
    """What the candidates are judged by: the first of the gates, else points at risk where classes are named."""
    from .figures import Measure

    qualities = [point.quality for point in search.points]
    limits = {gate: limit for gate, limit in config.gates if not (gate.by_metric and config.metric is not None)}
    usual = MIN_SQNR if any(quality.expected_loss is None for quality in qualities) else MAX_DROP
    gate = next((gate for gate in limits if all(gate.axis.value(each) is not None for each in qualities)), usual)
    axis = gate.axis
    values = (axis.value(quality) for quality in qualities)
    drawn = tuple(math.nan if value is None or (axis.logarithmic and not value) else value for value in values)
    return Measure(axis.label, drawn, limits.get(gate), axis.logarithmic)


def _layers(weights: Sequence[TensorResult], search: Search | None) -> _Section:
    from .figures import layer_figure

    gains = {} if search is None or search.chosen is None else search.chosen.gains
    sensitivities = {} if search is None else search.sensitivities
    rows: list[tuple[str, ...]] = [
        (
            f"{number + 1}",
            printable(tensor.name),
            printable(tensor.operator),
            type_words(tensor),
            "×".join(map(str, tensor.shape)),
            "" if tensor.values_before is None else f"{tensor.values_before:,} → {tensor.values_after:,}",
            decibels(tensor.sqnr),
            "" if tensor.bits_after is None else f"{tensor.bits_before:.2f} → {tensor.bits_after:.2f}",
            f"{sensitivities[number]:.3g}" if number in sensitivities else "",
            decibels(gains.get(number)),
        )
        for number, tensor in enumerate(weights)
    ]
    columns: tuple[str, ...] = ("Number", "Tensor", "Operator", "Type", "Shape", "Values", "SQNR dB", "Bits/weight")
    if search is None:
        rows = [row[: len(columns)] for row in rows]
    else:
        columns += ("Sensitivity", "Feedback dB")
    table = _Table("Weights in the order of the file", columns, rows, (1, 2, 3, 4))
    changed = sum(tensor.clustered for tensor in weights)
    words = (
        f"Bits that deflate spends on each weight, and SQNR, of {_count(len(weights), 'tensor')}; {changed} changed."
    )
    drawn = _safe(layer_figure(weights))
    if drawn is not None and changed < len(weights):
        words += " Those without a dot were left alone."
    return _Section("layers", "Layers", figures=(_Figure("Layers", words, drawn, table),))


def _weights(histograms: Sequence[Histogram]) -> _Section:
    words = (
        "The largest tensors: how many weights had which values, and below them the values that are left (centroids)."
    )
    drawn = tuple(map(_histogram, histograms, range(1, len(histograms) + 1)))
    return _Section("weights", "Weights", words + " Counts are on a logarithmic scale.", drawn)


def _histogram(histogram: Histogram, number: int) -> _Figure:
    from .figures import histogram_figure

    total = sum(histogram.counts)
    words = f"{total:,} weights hold {histogram.distinct:,} distinct values."
    if histogram.centroids:
        value, count = max(histogram.centroids, key=lambda held: held[1])
        words += f" The most common is {value:.4g}, with {100 * count / total:.0f} % of them."
    rows = [(f"{value:.6g}", f"{count:,}") for value, count in histogram.centroids]
    title = printable(histogram.name)
    table = _Table(f"Centroids of {title}", (histogram.unit.capitalize(), "Weights"), rows, ())
    return _Figure(title, words, _safe(histogram_figure(histogram, number)), table, heading=True)


def _left_alone(tensors: Sequence[TensorResult]) -> _Section | None:
    rows = [
        (printable(tensor.name), printable(tensor.reason), f"{tensor.bytes:,}")
        for tensor in tensors
        if tensor.reason is not None
    ]
    if not rows:
        return None
    table = _Table("Constants of 1 KB or more, and weights", ("Constant", "Reason", "Bytes"), rows, (0, 1))
    return _Section("left-alone", "Left alone", tables=(table,))


def _settings(result: Result, written: bool) -> _Section:
    settings = to_json(result, written)["config"]
    rows = [
        (name, printable(json.dumps(value, ensure_ascii=False)))
        for name, value in settings.items()
        if value is not None
    ]
    return _Section("settings", "Settings", tables=(_Table("Settings of the run", ("Setting", "Value"), rows, (0, 1)),))


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _safe(svg: str | None) -> Markup | None:
    """Drawn by this package, with no names from a file in it."""
    from markupsafe import Markup

    return None if svg is None else Markup(svg)


def _breakable(text: str) -> Markup:
    """Text whose lines may break behind what separates the parts of a name."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[/;:])", text))
