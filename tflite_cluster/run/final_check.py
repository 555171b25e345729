"""The check of a run: both models on the same samples, and the gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..config import Config
from ..fidelity.check import check_fidelity
from ..fidelity.gate import GateOutcome
from ..fidelity.judge import judge
from ..fidelity.verdict import Fidelity
from ..model.outputs import chosen_outputs
from ..model.read import Model
from ..progress import Progress
from .session import Session
from .size_limit import SizeLimit


def check(
    model: Model,
    session: Session | str,
    original: Path,
    clustered: Path,
    config: Config,
    progress: Progress,
    limit: SizeLimit | None = None,
) -> Fidelity:
    """Compare both models, as far as the session allows, and judge the gates, that of the size included."""
    if not (config.check and config.run):
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
            classes=config.gates.compare_classes,
            chosen={key: chosen_outputs(model, key) for key in session.samples},
            progress=progress,
            kernels=session.kernels,
        )
    if fidelity.status == "checked" and isinstance(session, Session) and session.scorer is not None:
        fidelity = replace(fidelity, score=session.scorer.compare(clustered))
    fidelity = judge(fidelity, config.gates)
    if isinstance(session, Session) and session.not_run:
        by_score = config.gates.by_metric if session.scorer is not None else None
        known = None if by_score is None else by_score.name
        fidelity = replace(fidelity, gates=tuple(_unproven(gate, session, known) for gate in fidelity.gates))
    return fidelity if limit is None else replace(fidelity, gates=(*fidelity.gates, limit.outcome(clustered)))


def _unproven(gate: GateOutcome, session: Session, known: str | None) -> GateOutcome:
    """A gate that holds on some signatures where others cannot be run.

    known: the gate that a score of the user's own decides, which knows what it runs.
    """
    if not gate.passed or gate.gate == known:
        return gate
    key, cause = next(iter(session.not_run.items()))
    return replace(gate, passed=False, why=f"it cannot be measured: signature '{key}' cannot be run: {cause}")
