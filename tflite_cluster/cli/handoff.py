"""`--target`: what comes before clustering for a chip, and after it. No command of its own: `cluster` comes here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .options import until_nobody_reads


def prepare(target: str, source: Path, destination: Path, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that suit the target; refuses files that could not be written in the end."""
    from ..api.handoff import check_files, settings_for

    check_files(target, destination, force=settings["force"])
    return settings_for(target, source, **settings)


def print_handed_off(target: str, source: Path, clustered: Path, force: bool, quiet: bool) -> None:
    """Call the target's tools, and say what they made."""
    from ..api.handoff import hand_off
    from ..report.handoff import print_handoff
    from ..report.names import printable

    handed = hand_off(target, source, clustered, force=force)
    if quiet and handed.not_done is not None:
        click.echo(f"tflite-cluster: {target}: {printable(handed.not_done)}", err=True)
    if not quiet:
        with until_nobody_reads():
            print_handoff(handed)
