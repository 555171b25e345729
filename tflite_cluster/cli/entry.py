"""The command line: which command is meant, and its errors and interruptions as messages and exit codes."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from ..errors import TfliteClusterError
from .complain import complain

_COMMANDS: tuple[str, ...] = ("batch", "check", "compare", "diff", "inspect", "pack", "sweep")
"""Modules beside this one that are called by their name as the first word; without one, a model is clustered."""

_COMPLETE = "_TFLITE_CLUSTER_COMPLETE"
"""Variable of the environment by which a shell asks for completion."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; arguments default to those of the process."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # the caller has closed it
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with contextlib.suppress(ValueError):  # not in the main thread: then signals are the caller's affair
        signal.signal(signal.SIGTERM, _terminate)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, _terminate)
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except TfliteClusterError as error:
        return complain(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("tflite-cluster: stopped; nothing was written", err=True)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; keep Python from complaining about it
        return 1
    except OSError as error:  # what is printed has no room, or the working folder is gone
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it is tried once more at the exit
        click.echo(f"tflite-cluster: error: {error}", err=True)
        return 1


def _run(arguments: list[str]) -> int:
    if _COMPLETE in os.environ:
        from .completion import Program

        Program(_COMMANDS, _load).main(prog_name="tflite-cluster", complete_var=_COMPLETE)
    name, program = "cluster", "tflite-cluster"
    if not arguments:
        command = _load(name)
        click.echo(command.get_help(command.make_context(program, [], resilient_parsing=True)), err=True)
        return 2
    if arguments and arguments[0] in _COMMANDS:
        name = arguments.pop(0)
        program = f"{program} {name}"
    elif arguments and re.fullmatch("[a-z]+", arguments[0]) and not os.path.exists(arguments[0]):  # noqa: PTH110
        raise click.UsageError(_no_such_command(arguments[0]))
    return int(_load(name).main(args=arguments, prog_name=program, standalone_mode=False) or 0)


def _no_such_command(word: str) -> str:
    near = difflib.get_close_matches(word, _COMMANDS, 1)
    meant = f"did you mean {near[0]}?" if near else "tflite-cluster --help says more."
    return f"There is neither a command nor a model of the name {word}: {meant} Commands: {', '.join(_COMMANDS)}."


def _load(name: str) -> click.Command:
    command: click.Command = import_module(f".{name}", __package__).command
    return command


def _terminate(signum: int, frame: object) -> None:
    """Leave by way of all `finally` clauses, which remove what is half done."""
    del signum, frame
    raise KeyboardInterrupt
