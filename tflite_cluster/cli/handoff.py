"""`--target`: what comes before clustering for a chip, and after it. No command of its own: `cluster` comes here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import until_nobody_reads

if TYPE_CHECKING:
    from ..result import Result
    from ..targets.chips.chip import HandedOff


def prepare(target: str, source: Path, destination: Path, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that suit the target; refuses files that could not be written in the end."""
    from ..api.handoff import check_files, settings_for

    suited = settings_for(target, source, **settings)
    check_files(target, destination, force=settings["force"])
    return suited


def print_handed_off(handed: HandedOff, result: Result, clustered: Path, quiet: bool) -> None:
    """Say what the target's tools made.

    Raises FidelityError if that is larger than what the search was to fit, which counts an estimate for some targets.
    """
    from ..report.handoff import print_handoff
    from ..report.names import printable
    from ..result import FidelityError

    if quiet and handed.not_done is not None:
        click.echo(f"tflite-cluster: {handed.target}: {printable(handed.not_done)}", err=True)
    if not quiet:
        with until_nobody_reads():
            print_handoff(handed)
    limit = next((gate.limit for gate in result.fidelity.gates if gate.gate == "max-size"), None)
    if limit is not None and handed.bytes_after is not None and handed.bytes_after > limit:
        raise FidelityError(
            f"{result.source}: max-size: the {handed.what} for {handed.target} takes {handed.bytes_after:,} bytes, and "
            f"{limit:,.0f} are asked for: ask for less, since the search counts an estimate; {clustered} was written",
            result,
        )
