"""`tflite-cluster diff A B`: what two models differ in."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, until_nobody_reads

_ELSE_DIFFERS = 99


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("first", metavar="A.tflite", type=FILE)
@click.argument("second", metavar="B.tflite", type=FILE)
@click.option("--patch", is_flag=True, help="Also measure the patch from A.tflite to B.tflite.")
@click.option("--json", "as_json", is_flag=True, help="Print the difference as JSON instead.")
def command(first: Path, second: Path, patch: bool, as_json: bool) -> int:
    """Say which weights and biases differ between two models, and whether anything else does.

    Exit codes: 0 nothing but weights and biases differs, if anything; 99 something else does, or the length; 3 a file
    cannot be read.
    """
    from ..api.diff import diff
    from ..report.difference import difference_json, print_difference

    difference = diff(first, second, patch=patch)
    with until_nobody_reads():
        if as_json:
            import json

            click.echo(json.dumps(difference_json(difference), indent=1, ensure_ascii=True, allow_nan=False))
        else:
            print_difference(difference)
    return 0 if difference.only_weights else _ELSE_DIFFERS
