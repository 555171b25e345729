"""Which file each model is written to: named, put into a folder, or named after its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from ..errors import OutputError
from ..files import named_output, refuse_shared

DEFAULT_SUFFIX: Final = ".small"
"""Put before the extension of a model's name, where none is given and it has no other folder to go to."""


@dataclass(frozen=True)
class Job:
    """A model to cluster, and where to write what becomes of it."""

    source: Path
    destination: Path

    @property
    def is_there(self) -> bool:
        """Whether there is anything at the place of the model."""
        return os.path.exists(self.source)  # noqa: PTH110  (a Path may fail at a name that is too long)

    @contextmanager
    def as_written(self, is_written: bool) -> Iterator[None]:
        """Do what comes after the new model was written; Ctrl-C then says that it was."""
        try:
            yield
        except KeyboardInterrupt:
            if not is_written:
                raise
            from ..report.names import printable

            click.echo(f"tflite-cluster: stopped; {printable(str(self.destination))} was written", err=True)
            raise click.exceptions.Exit(1) from None

    @property
    def takes_a_file(self) -> bool:
        """Whether the model is there, and the destination is a file already that is not the model itself."""
        if not self.is_there or not os.path.isfile(self.destination):  # noqa: PTH113
            return False
        return not os.path.samefile(self.source, self.destination)  # noqa: PTH121


def find_jobs(paths: Sequence[str], suffix: str | None) -> list[Job]:
    """The models among the words of a command, each with its destination.

    One word is a model. With a suffix all are; else the last of several is a folder, or the name of one model's output.
    Raises click.UsageError where it is neither, and OutputError where a folder is missing.
    """
    if "-" in paths:
        raise click.UsageError(
            "Models are read from files and written to files, not standard input and output: name a file in place of "
            "-, or write ./- for a file of that name."
        )
    *inputs, last = paths
    if suffix is not None and (not suffix or os.path.basename(suffix) != suffix):  # noqa: PTH119  (for "a/" is "a" to a Path)
        raise click.UsageError(f"--suffix is put before the extension, like {DEFAULT_SUFFIX}, not {suffix!r}.")
    if inputs and os.path.isdir(last):  # noqa: PTH112  (which a name that is too long is not)
        return [Job(Path(each), Path(last) / named_output(each, suffix or "").name) for each in inputs]
    if inputs and last.endswith(("/", os.sep)):
        raise OutputError(f"the folder {last} does not exist: create it first")
    if suffix is not None or not inputs:
        return [Job(Path(each), named_output(each, suffix or DEFAULT_SUFFIX)) for each in paths]
    if len(inputs) == 1:
        return [Job(Path(inputs[0]), Path(last))]
    raise click.UsageError(
        f"{last} is not a folder: after several models, name the folder that their outputs go to, which must exist, or "
        f"give --suffix {DEFAULT_SUFFIX} to write each output beside its model."
    )


def other_way(last: str) -> str:
    """What else may have been meant by two words, if the second is not a folder."""
    return "" if os.path.isdir(last) else ", or --suffix to cluster both"  # noqa: PTH112  (which a name that is too long is not)


def refuse_shared_destinations(jobs: Sequence[Job], read: Sequence[Path | str | None]) -> None:
    """Refuse outputs that would take the place of another model's input or output; raises OutputError.

    read: what else is read.
    """
    for number, job in enumerate(jobs):
        others = [each.source for each in jobs if each is not job] + [each.destination for each in jobs[:number]]
        refuse_shared([*read, *others], {"OUT.tflite": job.destination})
