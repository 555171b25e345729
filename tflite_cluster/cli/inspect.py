"""`tflite-cluster inspect MODEL`: what is inside, before anything is changed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import FILE


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("source", metavar="MODEL.tflite", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--no-sizes",
    "measure",
    flag_value=False,
    default=True,
    help="Do not compress the whole file, which takes longest.",
)
@click.option("--sizes", is_flag=True, help="Compress the whole file by every coder, and list the sizes.")
def command(source: Path, as_json: bool, measure: bool, sizes: bool) -> int:
    """Say what is inside a model: weights, how they are stored, what would be clustered, and why the rest would not."""
    if sizes and not measure:
        raise click.UsageError("give --sizes or --no-sizes, not both")
    from ..api.inspect import inspect
    from ..packing.coders import available_coders

    inspection = inspect(source, measure=measure, coders=available_coders() if sizes else ())
    if as_json:
        from ..report.inspection_json import to_json

        click.echo(json.dumps(to_json(inspection), indent=1, ensure_ascii=True, allow_nan=False))
    else:
        from ..report.inspection_text import print_inspection

        print_inspection(inspection)
    return 0
