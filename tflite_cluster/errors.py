"""Everything this package raises on purpose is a TfliteClusterError; each kind knows its exit code.

TfliteClusterError (1)
    ConfigError (2): a setting is wrong
        RecipeError: a recipe is wrong
    ModelError (3): the model cannot be read, or is not safe to read
    DataError (3): the samples cannot be read, or do not fit
    OutputError (2): the output cannot be written
    InterpreterFailure: the interpreter did not do what was asked of it; a run goes on without it
    NotSmallerError (98): the output is not worth writing; in `result`, as it holds the result
    FidelityError (99): a gate failed; in `result` too
"""

from __future__ import annotations


class TfliteClusterError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ConfigError(TfliteClusterError):
    """A setting is wrong, or settings contradict each other."""

    exit_code = 2


class ModelError(TfliteClusterError):
    """The model cannot be read, or is not safe to read."""

    exit_code = 3


class RecipeError(ConfigError):
    """A recipe that cannot be read, or says what no recipe can."""


class DataError(TfliteClusterError):
    """The samples cannot be read or do not fit the model's inputs."""

    exit_code = 3


class OutputError(TfliteClusterError):
    """The output cannot be written, or writing it would destroy something."""

    exit_code = 2


class InterpreterFailure(TfliteClusterError):
    """The interpreter did not do what was asked of it: a refusal, a crash, a time-out, or too little memory.

    `cause` says what happened in words that can follow "the model cannot be run:".
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class InterpreterTimeout(InterpreterFailure):
    """The interpreter took too long, so that other kernels are not worth a try either."""
