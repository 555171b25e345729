"""`tflite-cluster check MODEL`: hold a finished model to limits."""

from __future__ import annotations

from pathlib import Path

import click

_MISSED = 99


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("sources", metavar="MODEL.tflite...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--max-zip", metavar="SIZE", help="What zip -9 of the file may take, such as 1.5MB.")
@click.option("--max-values", metavar="N", type=int, help="Distinct values that each weight tensor may hold.")
def command(sources: tuple[Path, ...], max_zip: str | None, max_values: int | None) -> int:
    """Say whether models keep limits, without running them: a gate for pipelines.

    Exit codes: 0 all limits hold; 99 one does not, with a line for each; 3 the model cannot be read or is not safe.
    """
    from ..limits import check_limits
    from ..report.names import printable

    failed = False
    for source in sources:
        for violation in check_limits(source, max_zip=max_zip, max_values=max_values):
            click.echo(printable(f"{source.name}: {violation.limit_name}: {violation.why}"), err=True)
            failed = True
    return _MISSED if failed else 0
