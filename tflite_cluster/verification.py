"""The check of a run: both models on the same samples, and the gates."""

from __future__ import annotations

from pathlib import Path

from .config import Config
from .fidelity.check import check_fidelity
from .fidelity.verdict import Fidelity, judge
from .jobs import Progress
from .session import Session


def check(session: Session | str, original: Path, clustered: Path, config: Config, progress: Progress) -> Fidelity:
    """Compare both models, as far as the session allows, and judge the gates."""
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
    return judge(fidelity, config.min_agreement, config.min_sqnr, config.max_drop)
