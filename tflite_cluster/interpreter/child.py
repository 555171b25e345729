"""The child's side of `InterpreterProcess`: it reads calls from standard input and answers them on standard output."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

import numpy as np  # noqa: F401  (threads of BLAS can be limited only once it is loaded)
from threadpoolctl import threadpool_limits

_GRACE_SECONDS = 2


@dataclass(frozen=True)
class Call:
    """A function to call, found by its module and name, and how long it may take."""

    function: Callable[..., object]
    arguments: tuple[object, ...]
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What a call returned, or the exception it ended with and where."""

    value: object = None
    error: Exception | None = None
    traceback: str = ""


def serve(memory: int | None) -> None:
    """Answer calls until the parent closes its end of the pipe or dies; `memory` is the limit in bytes.

    A separate thread reads the calls, so that the parent's death is noticed while a call still runs.
    """
    pipe, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Windows has those wait who ask about a pipe that is being read, as libraries do of standard input when they load.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    _protect_parent(memory)
    threadpool_limits(1, "blas")  # its threads would only wait for each other and for the interpreter's
    calls: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(pipe, calls), daemon=True).start()
    _send(answers, Answer())
    while True:
        _send(answers, _answer(calls.get()))


def _read(pipe: BinaryIO, calls: SimpleQueue[bytes]) -> None:
    """Read calls; at the end of the pipe, end this process, whatever it is doing."""
    code = 1
    try:
        while True:
            calls.put(pickle.load(pipe))
    except EOFError:
        code = 0
    except BaseException:
        traceback.print_exc()  # such as a lack of memory: the parent reads it
    finally:
        os._exit(code)


def _send(answers: BinaryIO, answer: Answer) -> None:
    try:
        content = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        content = pickle.dumps(Answer(error=MemoryError("the answer does not fit")))
    except Exception as error:
        content = pickle.dumps(Answer(error=TypeError(f"the answer cannot be sent: {error}")))
    pickle.dump(content, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()


def _answer(content: bytes) -> Answer:
    try:
        call: Call = pickle.loads(content)
        del content
        with _killed_after(call.seconds + _GRACE_SECONDS):
            return Answer(call.function(*call.arguments))
    except Exception as error:
        return Answer(error=error, traceback=traceback.format_exc())


def _protect_parent(memory: int | None) -> None:
    """Leave Ctrl-C to the parent, leave no core dump behind, and bound the memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        # RLIMIT_DATA counts private writable memory, mapped or not, but not a mapped model file; RLIMIT_AS would
        # also count the address space that allocators and thread stacks reserve and never touch.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@contextlib.contextmanager
def _killed_after(seconds: float) -> Generator[None]:
    """Have the kernel end this process should a call hang, and leave no turn to the thread that sees the parent end."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
