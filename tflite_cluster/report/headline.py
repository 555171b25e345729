"""The result of a run in two lines: how much smaller, and whether the model still computes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..units import decibels, size_words
from .findings import VERDICT_STYLES, Line
from .names import printable
from .patches import shortest_patch

if TYPE_CHECKING:
    from ..fidelity.accuracy import Accuracy
    from ..fidelity.verdict import Fidelity
    from ..result import Result
    from ..targets.chips.chip import HandedOff


def headline(result: Result, written: bool, handed: HandedOff | None = None) -> list[Line]:
    """Both lines, each with its style. handed: what a chip's tools made, whose bytes then come first."""
    size = _size_line(result) + ("" if written or result.destination is None else "; no model was written")
    chip = None if handed is None else chip_words(handed)
    if handed is not None and chip is not None:
        size = f"{handed.target}: {chip[0]} ({chip[1]}); {size}"
    return [(size, "bold"), (_fidelity_line(result.fidelity), VERDICT_STYLES[result.fidelity.verdict])]


def _size_line(result: Result) -> str:
    sizes = result.sizes
    if sizes is None:
        return "zipped size not measured"
    line = f"{size_words(sizes.zip9.before, sizes.zip9.after)} zipped ({_times(sizes.zip9.ratio)})"
    if sizes.file.after < sizes.file.before:
        line += f"; the file {size_words(sizes.file.before, sizes.file.after)}"
    patch = None if result.update is None else shortest_patch(result.update)
    return line if patch is None else f"{line}; a patch takes {patch:,} bytes"


def chip_words(handed: HandedOff) -> tuple[str, str] | None:
    """Bytes before and after, and how many times smaller that is; None where nothing was counted."""
    if handed.bytes_before is None or handed.bytes_after is None:
        return None
    ratio = handed.bytes_before / handed.bytes_after if handed.bytes_after else 1.0
    estimate = "" if handed.not_done is None else ", by an estimate"
    return size_words(handed.bytes_before, handed.bytes_after), _times(ratio) + estimate


def _times(ratio: float) -> str:
    """How many times smaller, with more digits where it is little."""
    if ratio <= 1:
        return "no smaller"
    return f"{ratio:.1f}× smaller" if ratio >= 1.95 else f"{ratio:.2f}× smaller"


def _fidelity_line(fidelity: Fidelity) -> str:
    if fidelity.status == "skipped":
        return f"{fidelity.verdict}: not checked, as asked"
    if fidelity.status == "not checked":
        return f"{fidelity.verdict}: not checked: {printable(fidelity.cause or 'the models cannot be run')}"
    if fidelity.status == "broken":
        return f"{fidelity.verdict}: {printable(fidelity.cause or 'the clustered model cannot be run')}"
    if fidelity.silence is not None:
        return f"{fidelity.verdict}: {printable(fidelity.silence)}"
    found = "; ".join(_measures(fidelity)) or "no output could be compared"
    return f"{fidelity.verdict}: {found}{' on synthetic inputs' if fidelity.synthetic else ''}"


def _measures(fidelity: Fidelity) -> list[str]:
    """What says most: hits or a score of the user's own, and agreement, or else the signal-to-noise ratio."""
    found = []
    score, accuracy = fidelity.score, fidelity.accuracy
    if score is not None:
        found.append(f"score of {printable(score.metric)} {score.after:.6g}, was {score.before:.6g}")
    if accuracy is not None and accuracy.doubt is None:
        found.append(_hits(accuracy))
    agreements = [
        output.agreement for output in fidelity.outputs if output.agreement is not None and output.compares_classes
    ]
    if agreements:
        found.append(f"agreement {_percent(min(agreements))} %")
    elif fidelity.worst_sqnr is not None:
        found.append(f"SQNR {decibels(fidelity.worst_sqnr[0], with_unit=True)}")
    return found


def _hits(accuracy: Accuracy) -> str:
    right = f"{accuracy.right_after:,} of {accuracy.samples:,} right"
    if not (accuracy.lost or accuracy.gained):
        return f"{right}, as before"
    before = "as before" if accuracy.right_after == accuracy.right_before else f"was {accuracy.right_before:,}"
    if accuracy.is_within_chance or accuracy.samples < 2:
        return f"{right}, {before} (within chance)"
    return f"{right}, {before} ({accuracy.change_in_words})"


def _percent(share: float) -> str:
    """With a decimal; only all of them are 100."""
    return "100" if share == 1 else f"{min(100 * share, 99.9):.1f}"
