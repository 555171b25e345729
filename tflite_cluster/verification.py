"""The check of a run: both models on the same samples, and the gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .config import Config
from .fidelity.check import check_fidelity
from .fidelity.verdict import Fidelity, GateOutcome, judge
from .jobs import Progress
from .packing.sizes import compressed_size
from .session import Session


def check(session: Session | str, original: Path, clustered: Path, config: Config, progress: Progress) -> Fidelity:
    """Compare both models, as far as the session allows, and judge the gates, that of the size included."""
    if not config.check:
        fidelity = Fidelity("skipped")
    elif isinstance(session, str):
        fidelity = Fidelity("not checked", session)
    else:
        fidelity = check_fidelity(
            session.process,
            original,
            clustered,
            session.interface,
            session.samples,
            threads=config.threads,
            classes=config.min_agreement is not None,
            progress=progress,
        )
    if fidelity.status == "checked" and isinstance(session, Session) and session.scorer is not None:
        fidelity = replace(fidelity, score=session.scorer.compare(clustered))
    fidelity = judge(fidelity, config.min_agreement, config.min_sqnr, config.max_drop)
    return replace(fidelity, gates=(*fidelity.gates, *_size_gates(original, clustered, config)))


def _size_gates(original: Path, clustered: Path, config: Config) -> list[GateOutcome]:
    """Whether the zip is as small as it has to be, if it has to be."""
    if config.max_size is None:
        return []
    limit = config.size_limit(compressed_size(original, "zip9")) or 0
    zipped = compressed_size(clustered, "zip9")
    why = f"the smallest zip found takes {zipped:,} bytes" if zipped > limit else f"the zip takes {zipped:,} bytes"
    return [GateOutcome("max-size", limit, zipped, zipped <= limit, f"{why}, and {limit:,} are asked for")]
