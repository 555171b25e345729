"""The verdict on fidelity in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ..units import decibels
from .names import printable

if TYPE_CHECKING:
    from ..fidelity.accuracy import Accuracy
    from ..fidelity.verdict import Fidelity, OutputFidelity
    from ..result import Strategy

_MANY: Final = 10_000
"""Samples from which percentages speak for themselves."""

_WORTH_SAYING: Final = 3.0
"""dB by which the ratio with the mean must exceed that about the mean to be printed beside it."""

Line = tuple[str, str]
"""Text and its style."""


VERDICT_STYLES: Final = {
    "verified": "bold green",
    "close": "bold green",
    "plausible": "bold",
    "unknown": "bold yellow",
    "degraded": "bold red",
}

_MEANINGS: Final = {
    "verified": "compared on labelled samples",
    "close": "compared on samples without labels",
    "plausible": "compared on synthetic inputs; give --data to be sure",
    "unknown": "nothing was proven",
    "degraded": "a limit does not hold",
}


def left_out_lines(strategy: Strategy) -> list[Line]:
    """What a run could not do."""
    return [(f"Left out: {printable(words)}", "") for words in strategy.left_out]


def fidelity_lines(fidelity: Fidelity) -> list[Line]:
    """The verdict in one word, then line by line."""
    verdict = fidelity.verdict
    meaning = "it cannot be run" if fidelity.status == "broken" else _MEANINGS[verdict]
    lines = [(f"Verdict: {verdict} ({meaning})", VERDICT_STYLES[verdict]), *_findings(fidelity)]
    for gate in fidelity.gates:
        if gate.gate == "runs":
            continue  # that the model is broken is the finding itself
        word, style = ("holds", "green") if gate.passed else ("FAILS", "bold red")
        stands_above = fidelity.cause or fidelity.note or fidelity.silence
        why = gate.why.removesuffix(f": {stands_above}")
        lines.append((f"  gate {gate.gate} {word}: {printable(why)}", style))
    return lines


def _findings(fidelity: Fidelity) -> list[Line]:
    if fidelity.status == "skipped":
        return [("Fidelity: not checked, as asked.", "yellow")]
    if fidelity.status != "checked":
        style = "bold red" if fidelity.status == "broken" else "yellow"
        return [(f"Fidelity: {fidelity.status.upper()}: {printable(fidelity.cause or '')}", style)]
    lines = [(f"Fidelity, checked on {printable(fidelity.basis or '')}:", "bold")]
    if fidelity.silence is not None:
        lines.append((f"  {printable(fidelity.silence)}", "bold yellow"))
    if fidelity.accuracy is not None:
        lines.append((f"  {_accuracy_line(fidelity.accuracy)}", ""))
        if fidelity.accuracy.doubt is not None:
            lines.append((f"  {printable(fidelity.accuracy.doubt_in_words)}", "bold yellow"))
    if fidelity.score is not None:
        score = fidelity.score
        change = f"{score.before:.6g} → {score.after:.6g} ({-score.drop:+.3g})"
        lines.append((f"  score of {printable(score.metric)} {change}, higher is better", ""))
    if fidelity.note:
        lines.append((f"  {printable(fidelity.note)}", "yellow"))
    lines += [(f"  {_output_line(fidelity, output)}", "") for output in fidelity.outputs]
    floor = _floor_line(fidelity)
    if floor:
        lines.append((f"  {floor}", "dim" if fidelity.low_floor is None else "yellow"))
    if fidelity.synthetic:
        lines.append(("  Synthetic inputs say little about accuracy: give --data to be sure.", "yellow"))
    return lines


def _accuracy_line(accuracy: Accuracy) -> str:
    counts = ""
    if accuracy.samples < _MANY:
        counts = f"{accuracy.right_before} → {accuracy.right_after} of {accuracy.samples}, "
    shares = f"{100 * accuracy.before:.2f} % → {100 * accuracy.after:.2f} %"
    return f"top-1 accuracy {shares} ({counts}{accuracy.change_in_words})"


def _output_line(fidelity: Fidelity, output: OutputFidelity) -> str:
    parts = []
    if output.agreement is not None:
        parts.append(f"{100 * output.agreement:.2f} % agreement{_counts(output)}")
    if not output.varies:
        parts.append("hardly varies")
    if output.sqnr_db is not None:
        place = f" in {output.slice}" if output.slice else ""
        parts.append(f"SQNR {decibels(output.sqnr_db, with_unit=True)}{place}{_brackets(fidelity, output)}")
    if output.cosine is not None:
        parts.append(f"cosine {output.cosine:.5f}")
    if output.kl_divergence is not None:
        parts.append(f"KL {output.kl_divergence:.2g} nats")
    if output.max_abs_error is not None:
        parts.append(f"largest error {output.max_abs_error:.3g}")
    note = f" ({printable(output.note)})" if output.note else ""
    return f"output {printable(fidelity.label(output))}: {', '.join(parts)}{note}"


def _counts(output: OutputFidelity) -> str:
    """How many samples a share of them is, where they are not many."""
    if output.agreement is None or not output.classified or output.classified >= _MANY:
        return ""
    return f" ({round(output.agreement * output.classified)} of {output.classified})"


def _brackets(fidelity: Fidelity, output: OutputFidelity) -> str:
    """The noise floor, and the ratio with the mean counted as signal where that is much higher."""
    assert output.sqnr_db is not None
    floor, raw = fidelity.floor_of(output), output.raw_sqnr_db
    parts = [] if floor is None else [f"floor {decibels(floor)}"]
    if raw is not None and math.isfinite(raw) and raw - output.sqnr_db >= _WORTH_SAYING:
        parts.append(f"{raw:.1f} with the mean")
    return f" ({'; '.join(parts)})" if parts else ""


def _floor_line(fidelity: Fidelity) -> str | None:
    """What the floors beside the outputs are; None if there are none because no output holds real numbers."""
    floor = fidelity.noise_floor
    if floor is not None and floor.cause is not None:
        return f"no floor is known: {printable(floor.cause)}"
    if all(fidelity.floor_of(output) is None for output in fidelity.outputs):
        return None
    words = "floor: the original against itself under other kernels, as another device may have them"
    if fidelity.low_floor is None:
        return words
    return f"{words}. It is low ({decibels(fidelity.low_floor, with_unit=True)}): devices differ by as much"
