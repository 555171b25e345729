"""Errors of this package as messages and exit codes."""

from __future__ import annotations

from typing import Final

import click

from ..errors import ConfigError, OutputError, TfliteClusterError

_ONLY_IN_RECIPES: Final = {"chosen": "the recipe's [chosen]", "rules": "the recipe's rules"}
"""Settings that no option gives."""

_SWITCHED_OFF_BY: Final = {"measure": "--no-sizes"}
"""Options that switch a setting off, where they are not called by its name."""


def complain(error: TfliteClusterError) -> int:
    """Say what went wrong, in a form that steers no terminal, and return the exit code."""
    from ..report.names import printable

    message = error.in_words(_option, _leave_on) if isinstance(error, ConfigError) else str(error)
    click.echo(f"tflite-cluster: error: {printable(message)}", err=True)
    system_failed = isinstance(error, OutputError) and isinstance(error.__cause__, OSError)
    return 1 if system_failed else error.exit_code


def _option(setting: str) -> str:
    return _ONLY_IN_RECIPES.get(setting, "--" + setting.replace("_", "-"))


def _leave_on(setting: str) -> str:
    return f"leave out {_SWITCHED_OFF_BY.get(setting, f'--no-{setting}')}"
