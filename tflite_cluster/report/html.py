"""The result as one page for a browser, which opens without a network: figures, and the tables behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..fidelity.gate import Tile
from ..fidelity.gates import GATES
from ..files import write_text
from ..result import Result
from ..run.worth import why_not_worth_it
from ..targets.chips.chip import HandedOff
from ..units import size_words
from .findings import Line, fidelity_lines, left_out_lines
from .headline import chip_words, headline
from .histograms import Histogram
from .names import printable
from .patches import shortest_patch, update_line
from .sections import sections_of
from .storing import benchmark_line, estimate_line
from .templates import fill

_TONES: Final = {"green": "good", "bold green": "good", "bold red": "bad", "yellow": "warn", "bold yellow": "warn"}


@dataclass(frozen=True)
class Origin:
    """Where a page comes from."""

    command: str
    """The command line, or empty."""
    date: str
    sha256: str
    """Of the original model, in hexadecimal digits."""


def write_html(
    result: Result,
    histograms: Sequence[Histogram],
    path: Path,
    written: bool,
    origin: Origin,
    handed: HandedOff | None = None,
) -> None:
    """Write the page as a file; raises OutputError if that cannot be done. handed: what a chip's tools made."""
    write_text(path, to_html(result, histograms, written, origin, handed))


def to_html(
    result: Result, histograms: Sequence[Histogram], written: bool, origin: Origin, handed: HandedOff | None = None
) -> str:
    """The whole page. The same arguments give the same bytes, given the same version of the plotting library."""
    return fill(
        "page.html",
        source=printable(result.source),
        banner=[(line, _TONES.get(style, "")) for line, style in headline(result, written, handed)],
        outcome=_outcome(result, written),
        refused=not written,
        figures=_tiles(result, handed),
        origin=origin,
        verdict=[(line.strip(), _TONES.get(style, "")) for line, style in _findings(result)],
        sections=sections_of(result, histograms, written),
    )


def _findings(result: Result) -> list[Line]:
    """The verdict, what a run could not do, its speed and memory if measured, and what storing codes would give."""
    lines = [*fidelity_lines(result.fidelity), *left_out_lines(result.strategy)]
    if result.update is not None:
        lines.append((update_line(result.update), ""))
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


def _tiles(result: Result, handed: HandedOff | None) -> list[Tile]:
    """The figures that people look for: sizes first, that on a chip before all, then the measure of each gate."""
    chip = None if handed is None else chip_words(handed)
    tiles = (
        [] if handed is None or chip is None else [Tile(f"For {handed.target}", chip[0], f"{chip[1]}; {handed.what}")]
    )
    if result.sizes is not None:
        zip9, file = result.sizes.zip9, result.sizes.file
        smaller = f"{zip9.ratio:.2f} times smaller" if zip9.after < zip9.before else "no smaller"
        tiles.append(Tile("Zipped", size_words(zip9.before, zip9.after), smaller))
        length = size_words(file.before, file.after).split(" → ")[1] if file.after == file.before else ""
        tiles.append(Tile("Installed", length or size_words(file.before, file.after), "same length" if length else ""))
    patch = None if result.update is None else shortest_patch(result.update)
    if patch is not None and result.update is not None:
        tiles.append(Tile("Patch", f"{patch:,} bytes", f"from {printable(result.update.base)}"))
    found = (gate.found(result.fidelity) for gate in GATES)
    return tiles + [tile for tile in found if tile is not None]
