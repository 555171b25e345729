"""`tflite-cluster BUNDLE OUT`: cluster the models inside a bundle. No command of its own: `cluster` comes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import ConfigError, TfliteClusterError
from ..progress import Progress
from .options import until_nobody_reads
from .progress import log_line


def cluster_bundled(
    source: Path,
    destination: Path,
    progress_shown: Callable[[], AbstractContextManager[Progress]],
    unfit: Mapping[str, Path | None],
    quiet: bool,
    log_json: bool,
    **settings: Any,
) -> int:
    """Cluster all models of a bundle and print what became of each; `unfit` are options for one model only."""
    from ..api.bundle import cluster_bundle

    for option, given in unfit.items():
        if given is not None:
            raise ConfigError(
                "leave out {option}: {name} is a bundle, and this belongs to one model", option=option, name=source.name
            )
    try:
        with progress_shown() as progress:
            result = cluster_bundle(source, destination, progress=progress, **settings)
    except TfliteClusterError as error:
        if log_json:
            log_line(outcome="failed", source=str(source), error=str(error))
        raise
    if not quiet:
        from ..report.bundle import print_bundle

        with until_nobody_reads():
            print_bundle(result)
    if log_json:
        models = [{"name": model.name, "clustered": model.left_alone is None} for model in result.models]
        log_line(outcome="done", source=result.source, models=models)
    return 0
