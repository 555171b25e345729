"""What this package raises on purpose, and the exit code that the command line returns for each kind.

TfliteClusterError (1)
    ConfigError (2): a setting is wrong, or settings contradict each other
        RecipeError (2): a recipe cannot be read, or is wrong
    ModelError (3): the model cannot be read, or is not safe to read
    DataError (3): the samples cannot be read, or do not fit the model
    OutputError (2): the output cannot be written
    NotSmallerError (98): the output is not worth writing; defined in `result`, because it holds the result
    FidelityError (99): a gate failed or could not be measured; defined in `result` too
    InterpreterFailure (1): the interpreter failed; it stays inside, and a run goes on without the interpreter
        InterpreterTimeout (1): the interpreter took too long
"""

from __future__ import annotations

import re
from collections.abc import Callable


class TfliteClusterError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns for it."""

    exit_code = 1


_SETTING = re.compile(r"<(\+?)(\w+)>")


class ConfigError(TfliteClusterError):
    """A setting is wrong, or settings contradict each other.

    The message carries the names of settings, so that the command line can write them as options: `<clusters>` is the
    name of a setting, `<+check>` the advice to leave one on, and `{name}` the place of one of the values.
    """

    exit_code = 2

    def __init__(self, message: str, /, **values: object) -> None:
        self._message = message
        self._values = values
        super().__init__(self.in_words(str, "leave {} on".format))

    def in_words(self, name: Callable[[str], str], leave_on: Callable[[str], str]) -> str:
        """The message, with settings and the advice to leave one on in the words that these give."""
        text = _SETTING.sub(lambda found: (leave_on if found[1] else name)(found[2]), self._message)
        return text.format(**self._values) if self._values else text


class ModelError(TfliteClusterError):
    """The model cannot be read, or is not safe to read."""

    exit_code = 3


class RecipeError(ConfigError):
    """A recipe that cannot be read, or says what no recipe can; its message is taken word for word."""

    def __init__(self, message: str) -> None:
        super().__init__("{text}", text=message)


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
