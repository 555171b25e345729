"""Completion in the shell: all commands as one, with those of the one that clusters where none is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from click.shell_completion import CompletionItem


class Program(click.Group):
    """The commands by name, for completion only: the command line itself goes by its first word."""

    def __init__(self, names: Sequence[str], load: Callable[[str], click.Command]) -> None:
        super().__init__("tflite-cluster", context_settings={"ignore_unknown_options": True})
        self._names = names
        self._load = load

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (as click calls it)
        """The names that can be a first word."""
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        return self._load(cmd_name) if cmd_name in self._names else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names, or the one without a name."""
        if args[0] in self._names:
            return super().resolve_command(ctx, args)
        return "cluster", self._load("cluster"), args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What the first word may be: a command, or what clustering takes."""
        unnamed = self._load("cluster")
        within = unnamed.make_context("tflite-cluster", [], parent=ctx, resilient_parsing=True)
        files = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]
        return [*super().shell_complete(ctx, incomplete), *unnamed.shell_complete(within, incomplete), *files]
