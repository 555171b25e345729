"""The command line: one module a command, shared options, completion and progress bars."""

from .entry import main

__all__ = ["main"]
