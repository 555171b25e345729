"""`tflite-cluster compare A B`: whether two models compute the same, and where they part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .options import (
    FILE,
    gate_options,
    limit_options,
    metric_option,
    sample_options,
    seed_option,
    until_nobody_reads,
)

_MISSED = 99


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("first", metavar="A.tflite", type=FILE)
@click.argument("second", metavar="B.tflite", type=FILE)
@sample_options
@metric_option
@gate_options(lambda gate: gate.limits)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead.")
@seed_option
@limit_options
def command(first: Path, second: Path, as_json: bool, **settings: Any) -> int:
    """Run two models on the same samples, and say how far their outputs agree and where the error grows most.

    Exit codes: 0 all gates hold; 99 one does not, or the second model cannot be run; 3 a model cannot be read.
    """
    from ..api.compare import compare
    from ..report.comparison import comparison_json, print_comparison

    found = compare(first, second, **settings)
    with until_nobody_reads():
        if as_json:
            click.echo(json.dumps(comparison_json(found), indent=1, ensure_ascii=True, allow_nan=False))
        else:
            print_comparison(found)
    return 0 if found.fidelity.passed else _MISSED
