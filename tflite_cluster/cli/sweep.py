"""`tflite-cluster sweep MODEL`: size against fidelity, all along the curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError
from ..files import check_there, refuse_shared
from .options import (
    FILE,
    check_written,
    effort_option,
    keep_option,
    limit_options,
    sample_options,
    seed_option,
    store_option,
    until_nobody_reads,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("source", metavar="MODEL.tflite", type=FILE)
@store_option
@keep_option
@sample_options
@click.option("--points", metavar="N", type=int, default=8, show_default=True, help="Points besides the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the curve as JSON instead.")
@click.option(
    "--plot",
    metavar="OUT.svg|OUT.png",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw the curve.",
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@seed_option
@effort_option
@limit_options
def command(source: Path, points: int, as_json: bool, plot: Path | None, force: bool, **settings: Any) -> int:
    """Show how small a model can get, and what that costs in fidelity; no model is written.

    Each line is measured: the file is clustered, zipped, and run on the samples.
    """
    from ..api import extras
    from ..api.sweep import sweep
    from ..report.sweep import print_sweep, sweep_json
    from ..report.sweep_plot import require_plot, write_plot
    from .progress import progress_bar

    if force and plot is None:
        raise ConfigError("leave out --force: there is no picture to replace without --plot")
    extras.require([*([extras.PLOT] if plot is not None else []), *extras.of_data(settings["data"])])
    if plot is not None:
        require_plot(plot)
        check_there(source)
        refuse_shared([source, settings["data"], settings["labels"]], {"--plot": plot})
        check_written("--plot", plot, force)

    with progress_bar(False) as progress:
        found = sweep(source, points=points, progress=progress, **settings)
    if plot is not None:
        write_plot(found, plot)
    with until_nobody_reads():
        if as_json:
            click.echo(json.dumps(sweep_json(found), indent=1, ensure_ascii=True, allow_nan=False))
        else:
            print_sweep(found)
    return 0
