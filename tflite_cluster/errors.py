"""Everything this package raises on purpose is a TfliteClusterError; each kind knows its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import Result


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


class NotSmallerError(TfliteClusterError):
    """The clustered model would not zip smaller, or too little for what changes, so that nothing was written; `result`
    tells the rest.
    """

    exit_code = 98

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class FidelityError(TfliteClusterError):
    """A fidelity gate tripped or could not be measured, so that nothing was written; `result` tells the rest."""

    exit_code = 99

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
