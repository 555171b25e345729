"""What a target's own tools made, on the terminal."""

from __future__ import annotations

import click

from ..targets.chips.chip import HandedOff
from ..units import size_words
from .names import printable


def print_handoff(handed: HandedOff) -> None:
    """Sizes, files, operators, and the weights that were left out."""
    click.echo(f"\nFor {handed.target}:")
    if handed.bytes_before is not None and handed.bytes_after is not None:
        click.echo(f"  {handed.what}: {size_words(handed.bytes_before, handed.bytes_after)}")
    for line in (handed.proof, handed.not_done):
        if line is not None:
            click.echo(f"  {printable(line)}")
    for path in handed.files:
        click.echo(f"  wrote {printable(str(path))}")
    if handed.operators:
        click.echo(f"  operators to register: {printable(', '.join(handed.operators))}")
    for each in handed.left_out:
        click.echo(f"  left out: {printable(each.name)}: {printable(each.reason)}")
