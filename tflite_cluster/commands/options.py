"""Types and options that several commands share."""

from __future__ import annotations

import click

from ..units import parse_bytes


def byte_count(value: str | int) -> int:
    """A number of bytes from words like 4GB."""
    try:
        return value if isinstance(value, int) else parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
