"""The sections of the page: what each figure shows, and the tables behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from ..fidelity.gates import MAX_DROP, MIN_SQNR
from ..result import Result, Sizes, TensorResult
from ..search.criterion import loss_limit
from ..search.points import Search
from ..units import decibels
from .histograms import Histogram
from .json import to_json
from .names import printable
from .storing import type_words
from .tables import named_sizes
from .templates import Bar, Table, largest

if TYPE_CHECKING:
    from markupsafe import Markup

    from .figures import Axis, Measure


_MEANINGS: Final = {
    "Multiplier": "the price of a bit in the whole model; a higher price makes the zip smaller",
    "Layers in order": "whether layers were clustered in the order in which they run, so that each also makes up for "
    "the changes in those before it",
    "Distortion": "how far the outputs are from the original's, as the search measures it",
    "Expected loss, points": "points of accuracy that errors of this size cost if they fall at random",
    "Values": "distinct values of the tensor",
    "SQNR dB": "how strong a signal is beside its error; 6 dB more is half the error",
    "Bits/weight": "bits that a weight takes after compression, on average",
    "Sensitivity": "how much the outputs suffer for each unit of the tensor's own squared error",
    "Feedback dB": "how much error feedback lowers the error of the layer's output",
}
"""What columns of the tables hold, in the words of the glossary."""


@dataclass(frozen=True)
class Figure:
    """A picture with the table behind it."""

    title: str
    words: str
    """What can be seen in it, also for those who do not see it."""
    svg: Markup | None
    """None where there is nothing to draw: then the table has to do."""
    table: Table
    heading: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    id: str
    title: str
    words: str = ""
    figures: tuple[Figure, ...] = ()
    bars: tuple[Bar, ...] = ()
    tables: tuple[Table, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    """Columns of the tables that need a word, each with its meaning."""
    is_narrow: bool = False
    """Whether it leaves room for another beside it on a wide screen."""


def sections_of(result: Result, histograms: Sequence[Histogram], written: bool) -> list[Section]:
    """All sections of the page in order, but the verdict."""
    weights = [tensor for tensor in result.tensors if tensor.role == "weight"]
    search = result.strategy.search
    found = [
        _sizes(result.sizes) if result.sizes is not None else None,
        _curve(search, result) if search is not None and search.points else None,
        _layers(weights, search) if weights else None,
        _weights(histograms) if histograms else None,
        _left_alone(result.tensors),
        _settings(result, written),
    ]
    return [section for section in found if section is not None]


def _sizes(sizes: Sizes) -> Section:
    from .figures import size_figure

    pairs = named_sizes(sizes)
    rows = [(name, f"{pair.before:,}", f"{pair.after:,}", f"{pair.ratio:.2f}") for name, pair in pairs]
    words = (
        f"The whole file by compressor: zip -9 takes {sizes.zip9.before:,} bytes before, {sizes.zip9.after:,} after."
    )
    table = Table("Bytes by compressor", ("", "Bytes before", "After", "Times smaller"), rows)
    figure = Figure("Sizes", words, _safe(size_figure(pairs)), table)
    return Section("sizes", "Sizes", figures=(figure,), is_narrow=True)


def _curve(search: Search, result: Result) -> Section:
    from .figures import curve_figure

    chosen = None if search.chosen is None else search.points.index(search.chosen)
    rows = [
        (
            f"{point.multiplier:.3g}" + (", chosen" if number == chosen else ""),
            "yes" if point.in_order else "no",
            f"{point.bits:.2f}",
            f"{point.quality.distortion:.3g}",
            "" if point.quality.expected_loss is None else f"{point.quality.expected_loss:.2f}",
            "" if point.quality.accuracy is None else point.quality.accuracy.change_in_words,
            "" if point.quality.agreement is None else f"{100 * point.quality.agreement:.2f}",
            decibels(point.quality.sqnr),
        )
        for number, point in enumerate(search.points)
    ]
    columns = (
        *("Multiplier", "Layers in order", "Bits/weight", "Distortion", "Expected loss, points", "Accuracy lost"),
        *("Agreement %", "SQNR dB"),
    )
    filled = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    table = Table(
        "Candidates in the order of the search; the chosen one is bold",
        tuple(columns[at] for at in filled),
        [tuple(row[at] for at in filled) for row in rows],
        (),
        chosen,
    )
    sizes, measure = _zip_sizes(search, result), _measure(search, result)
    words = f"{_count(len(rows), 'candidate')}: {sizes.label} against {measure.label}. "
    if search.chosen is None:
        words += "None is good enough."
    else:
        words += f"Chosen: {search.chosen.bits:.2f} bits per weight at multiplier {search.chosen.multiplier:.3g}."
    if measure.seen:
        words += " Bars are one standard error of what was lost on the samples of the search."
    drawn = Figure("Rate and distortion", words, _safe(curve_figure(search, sizes, measure)), table)
    words = printable(result.strategy.words)
    return Section("search", "Search", words, (drawn,), terms=_terms(table.columns), is_narrow=True)


def _terms(columns: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((column, _MEANINGS[column]) for column in columns if column in _MEANINGS)


def _zip_sizes(search: Search, result: Result) -> Axis:
    """The zip of each candidate in MB or kB; bits per weight where nothing was weighed, or a chip counts the bits.

    Only the zip of the candidate in the copy was measured. The others differ from it by the entropy of their weights.
    """
    from .figures import Axis

    last = search.chosen or search.points[-1]
    if result.sizes is None or result.config.target is not None:
        return Axis("bits per weight", tuple(point.bits for point in search.points))
    count = sum(prod(result.tensors[number].shape) for number in search.prices)
    zipped = [result.sizes.zip9.after + (point.bits - last.bits) * count / 8 for point in search.points]
    unit, factor = ("MB", 1e6) if min(zipped) >= 1e6 else ("kB", 1e3)
    return Axis(f"{unit} zipped, by entropy", tuple(size / factor for size in zipped))


def _measure(search: Search, result: Result) -> Measure:
    """What the candidates are judged by: the first of the gates, else expected loss where classes are named."""
    from .figures import Measure

    config, qualities = result.config, [point.quality for point in search.points]
    limits = {gate: limit for gate, limit in config.gates if not (gate.by_metric and config.metric is not None)}
    usual = MIN_SQNR if any(quality.expected_loss is None for quality in qualities) else MAX_DROP
    gate = next((gate for gate in limits if all(gate.axis.value(each) is not None for each in qualities)), usual)
    axis = gate.axis
    values = (axis.value(quality) for quality in qualities)
    drawn = tuple(math.nan if value is None or (axis.logarithmic and not value) else value for value in values)
    limit, name = limits.get(gate), "limit set"
    if limit is None and gate is MAX_DROP and not (config.has_gates or config.max_size or result.fidelity.synthetic):
        limit, name = loss_limit(search.floor), "limit by default"
    accuracies = [quality.accuracy for quality in qualities] if gate is MAX_DROP else []
    seen = tuple((each.drop_points, each.standard_error_points) for each in accuracies if each is not None)
    seen = seen if len(seen) == len(qualities) else ()
    return Measure(axis.label, drawn, limit, name, axis.logarithmic and not seen, seen)


_MOST_BARS: Final = 16


def _layers(weights: Sequence[TensorResult], search: Search | None) -> Section:
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
    changed = sum(tensor.clustered for tensor in weights)
    words = f"{_count(len(weights), 'weight tensor')}, {changed} changed."
    bars = _bars(weights)
    if bars:
        words += " What each takes in the zip, before and after; the largest come first."
    table = Table("Weights in the order of the file", columns, rows, (1, 2, 3, 4))
    return Section("layers", "Layers", words, bars=bars, tables=(table,), terms=_terms(columns))


def _bars(weights: Sequence[TensorResult]) -> tuple[Bar, ...]:
    """The tensors that take most of the zip, and the sum of the others; empty if nothing was weighed."""
    weighed = [
        (tensor.name, tensor.bits_before * prod(tensor.shape) / 8, tensor.bits_after * prod(tensor.shape) / 8)
        for tensor in weights
        if tensor.bits_before is not None and tensor.bits_after is not None
    ]
    return largest(weighed, _MOST_BARS)


def _weights(histograms: Sequence[Histogram]) -> Section:
    words = (
        "The largest tensors: how many weights had which values, and below them the values that are left (centroids)."
    )
    drawn = tuple(map(_histogram, histograms, range(1, len(histograms) + 1)))
    return Section("weights", "Weights", words + " Counts are on a logarithmic scale.", drawn)


def _histogram(histogram: Histogram, number: int) -> Figure:
    from .figures import histogram_figure

    total = sum(histogram.counts)
    words = f"{total:,} weights hold {histogram.distinct:,} distinct values."
    if histogram.centroids:
        value, count = max(histogram.centroids, key=lambda held: held[1])
        words += f" The most common is {value:.4g}, with {100 * count / total:.0f} % of them."
    rows = [(f"{value:.6g}", f"{count:,}") for value, count in histogram.centroids]
    title = printable(histogram.name)
    table = Table(f"Centroids of {title}", (histogram.unit.capitalize(), "Weights"), rows, ())
    return Figure(title, words, _safe(histogram_figure(histogram, number)), table, heading=True)


def _left_alone(tensors: Sequence[TensorResult]) -> Section | None:
    rows = [
        (printable(tensor.name), printable(tensor.reason), f"{tensor.bytes:,}")
        for tensor in tensors
        if tensor.reason is not None
    ]
    if not rows:
        return None
    table = Table("Constants of 1 KB or more, and weights", ("Constant", "Reason", "Bytes"), rows, (0, 1))
    return Section("left-alone", "Left alone", tables=(table,))


def _settings(result: Result, written: bool) -> Section:
    settings = to_json(result, written)["config"]
    rows = [
        (name, printable(json.dumps(value, ensure_ascii=False)))
        for name, value in settings.items()
        if value is not None
    ]
    return Section("settings", "Settings", tables=(Table("Settings of the run", ("Setting", "Value"), rows, (0, 1)),))


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _safe(svg: str | None) -> Markup | None:
    """Drawn by this package, with no names from a file in it."""
    from markupsafe import Markup

    return None if svg is None else Markup(svg)
