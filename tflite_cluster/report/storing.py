"""What storing weights as codes did, or would do, and how fast the models are, in words."""

from __future__ import annotations

from typing import Final

from ..result import Benchmark, Result, TensorResult

_WORTH_SAYING: Final = 0.95
"""Share of the zip that was reached, from which on down another way to store weights is worth a line."""


def type_words(tensor: TensorResult) -> str:
    """The type of a tensor, and what it is stored as instead."""
    if tensor.stored is None:
        return tensor.type.lower()
    scales = "1 scale" if tensor.stored.scales == 1 else f"{tensor.stored.scales} scales"
    return f"{tensor.type.lower()} → {tensor.stored.type.lower()}, {scales}"


def estimate_line(result: Result) -> str | None:
    """What the option would give, by an estimate from the same values; None if that is hardly less."""
    estimate = result.if_stored
    if estimate is None or result.sizes is None or estimate.zip9 > _WORTH_SAYING * result.sizes.zip9.after:
        return None
    return (
        f"With --store int8 the file would take about {_rounded(estimate.file)} bytes and its zip "
        f"{_rounded(estimate.zip9)}: {estimate.ratio:.1f} times smaller than the original's (an estimate)"
    )


def benchmark_line(benchmark: Benchmark) -> str:
    """Speed and memory of both models."""
    before, after = (_milliseconds(each) for each in (benchmark.seconds_before, benchmark.seconds_after))
    line = (
        f"Speed: {before} → {after} ms a run ({benchmark.ratio:.2f} times as long in the median of {benchmark.rounds} "
    )
    line += f"rounds by turns, {benchmark.threads} {'thread' if benchmark.threads == 1 else 'threads'})"
    if benchmark.memory_before is not None and benchmark.memory_after is not None:
        line += f"; peak memory {_megabytes(benchmark.memory_before)} → {_megabytes(benchmark.memory_after)} MB"
    return line


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 50_000 else "under 0.1"


def _rounded(count: int) -> str:
    """Three digits: an estimate is not worth more."""
    return f"{int(float(f'{count:.3g}')):,}"
