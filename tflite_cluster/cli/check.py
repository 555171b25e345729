"""`tflite-cluster check MODEL`: hold a finished model to limits."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ModelError
from .options import FILE

_MISSED = 99


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("sources", metavar="MODEL.tflite...", type=FILE, nargs=-1, required=True)
@click.option("--max-zip", metavar="SIZE", help="What zip -9 of the file may take, such as 1.5MB.")
@click.option("--max-values", metavar="N", type=int, help="Distinct values that each weight tensor may hold.")
def command(sources: tuple[Path, ...], max_zip: str | None, max_values: int | None) -> int:
    """Say whether models keep limits, without running them: a gate for pipelines.

    Exit codes: 0 all limits hold; 99 one does not, with a line for each; 3 a model cannot be read or is not safe,
    whatever the others do.
    """
    from ..api.check import check_limits
    from ..report.names import printable

    code = 0
    for source in sources:
        try:
            violations = check_limits(source, max_zip=max_zip, max_values=max_values)
        except ModelError as error:  # the others are looked at all the same
            click.echo(printable(f"tflite-cluster: error: {error}"), err=True)
            code = error.exit_code
            continue
        for violation in violations:
            click.echo(printable(f"{source}: {violation.limit_name}: {violation.why}"), err=True)
            code = code or _MISSED
    return code
