"""`tflite-cluster batch MODELS --out DIR`: many models at once, on this machine or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError
from .cluster import with_recipe
from .options import (
    FILE,
    clusters_option,
    effort_option,
    gate_options,
    keep_option,
    limit_options,
    metric_option,
    now,
    sample_options,
    seed_option,
    size_option,
    store_option,
    until_nobody_reads,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("models", metavar="MODEL.tflite...", type=FILE, nargs=-1, required=True)
@click.option("--out", "folder", metavar="FOLDER", type=FILE, required=True, help="Where the new models go.")
@click.option("--suffix", metavar="TEXT", default="", help="Put this before the extension of each new model.")
@click.option(
    "--recipe",
    "recipes",
    metavar="FILE.toml",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Take settings from a recipe. Several: cluster each model by each, and name the results after the recipes.",
)
@click.option("--jobs", metavar="N", type=int, help="Models clustered at a time. [default: one for each processor]")
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this Dask scheduler, such as tcp://host:8786.")
@clusters_option
@store_option
@keep_option
@sample_options
@metric_option
@size_option()
@gate_options(lambda gate: gate.seeks)
@seed_option
@effort_option
@limit_options
@click.option("--page", is_flag=True, help="Also write the results as a page for a browser, FOLDER/results.html.")
@click.option("--force", is_flag=True, help="Replace existing files that no batch has written.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def command(
    context: click.Context,
    /,
    models: tuple[Path, ...],
    folder: Path,
    suffix: str,
    recipes: tuple[Path, ...],
    jobs: int | None,
    scheduler: str | None,
    page: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Cluster many models in parallel; a model that fails stops no other.

    FOLDER/results.jsonl has a line for each model. The same command again does only what is not done yet. The exit
    code is the highest of all models.
    """
    from ..api import extras
    from ..api.batch import batch
    from ..report.batch import check_page, print_batch, write_batch_page
    from ..report.names import printable
    from .progress import progress_bar

    force = settings.pop("force")
    variants = {recipe.stem if len(recipes) > 1 else "": with_recipe(context, recipe, settings) for recipe in recipes}
    if len(variants) < len(recipes):
        raise ConfigError("two recipes have the same name, which new models are named after: rename one")
    variants = variants or {"": settings}
    of_runs = [need for variant in variants.values() for need in extras.of_settings(variant)]
    extras.require([*extras.of_batch(scheduler), *([extras.PAGE] if page else []), *of_runs])
    if page:
        check_page(folder, force)
    with progress_bar(quiet) as progress:
        found = batch(
            models,
            folder,
            variants=variants,
            suffix=suffix,
            jobs=jobs,
            scheduler=scheduler,
            progress=progress,
            force=force,
        )
    if page:
        write_batch_page(found, now())
    if not quiet:
        with until_nobody_reads():
            print_batch(found)
    for record in found.records:
        if record.error is not None:
            click.echo(f"tflite-cluster: error: {printable(record.error)}", err=True)
    return found.exit_code
