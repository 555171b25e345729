"""Types and options that several commands share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from ..units import parse_bytes

MODEL: Final = click.Path(readable=False, path_type=Path)
"""A path that is not looked at: whoever opens it says what is wrong with it, with the right exit code."""


def byte_count(value: str | int) -> int:
    """A number of bytes from words like 4GB."""
    try:
        return value if isinstance(value, int) else parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def numbers(value: str | tuple[float, ...]) -> tuple[float, ...]:
    """One or several numbers from words like 127.5 or 123.7,116.8,103.9."""
    try:
        return value if isinstance(value, tuple) else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number, nor several with commas between them") from None


@contextlib.contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Print to a reader who may leave early, which undoes nothing and is no failure."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
