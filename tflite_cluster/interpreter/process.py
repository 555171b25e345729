"""The process that runs the interpreter: it may crash, hang or eat memory without harm to the caller.

It is a plain subprocess that talks in pickles over its standard streams. Unlike the workers of multiprocessing it does
not import the caller's `__main__` again, needs no helper processes and no semaphores, and ends when its input does,
which is also what happens when the caller is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TypeVar, cast

from ..errors import InterpreterFailure, InterpreterTimeout
from .child import Answer, Call

R = TypeVar("R")

_START_SECONDS = 60.0
_LAST_SECONDS = 5.0
_LAST_BYTES = 1 << 16
_SIGNS_OF_NO_MEMORY = ("bad_alloc", "MemoryError", "emory allocation")
_START = """
import pickle, sys
sys.path[:], memory = pickle.load(sys.stdin.buffer)
from tflite_cluster.interpreter.child import serve
serve(memory)
"""


@dataclass(frozen=True)
class Limits:
    """`timeout`: seconds that one call may take; `memory`: bytes the process may allocate, None for no limit.

    The memory limit leaves out the model file itself, which is mapped, and has no effect on Windows and macOS.
    """

    timeout: float
    memory: int | None


class InterpreterProcess:
    """One child process for many calls: started at the first, and again when it has died.

    Use it as a context manager; nothing of it is left running or on disk afterwards.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._is_given_up = False

    def __enter__(self) -> InterpreterProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child at once, whatever it is doing; a later call would start a new one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    @contextlib.contextmanager
    def threads(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Threads that call the process while this one works on; Ctrl-C ends their calls instead of waiting for them.

        After that, every call raises InterpreterFailure.
        """
        with ThreadPoolExecutor(count) as pool:
            try:
                yield pool
            except KeyboardInterrupt:
                self._is_given_up = True
                self.close()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def call(self, function: Callable[..., R], *arguments: object, timeout: float | None = None) -> R:
        """Call a module-level function in the child and give back what it returns.

        Arguments and result are pickled. `timeout` in seconds takes the place of the limit's. Raises
        InterpreterFailure if the function does, or if the child crashes, takes too long or has too little memory;
        any other exception of the function is raised here too.
        """
        call = Call(function, arguments, self.limits.timeout if timeout is None else timeout)
        content = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            try:
                self._child = child = self._child or _Child(self.limits.memory)
                if self._is_given_up:  # perhaps while the child started, which then nobody else ends
                    raise InterpreterFailure("the run is stopped")
                answer = child.ask(content, call.seconds)
            except BaseException:
                # Also after Ctrl-C: the answer still under way must not be taken for that of the next call.
                self.close()
                raise
        if answer.error is None:
            return cast(R, answer.value)
        # Where memory is short, libraries fail to load and files to map before anything is short of it by name.
        if isinstance(answer.error, (MemoryError, ImportError, OSError)):
            raise InterpreterFailure(f"{self._memory_cause()} ({_first_line(answer.error)})") from answer.error
        raise answer.error from _ChildTraceback(answer.traceback)

    def _memory_cause(self) -> str:
        limit = self.limits.memory
        return "it needs more memory than there is" + (f" within the limit of {limit / 1e9:.3g} GB" if limit else "")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class _ChildTraceback(Exception):
    """Where in the child an exception was raised."""


class _Child:
    def __init__(self, memory: int | None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `kill`)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
            )
        except OSError as error:
            self._log.close()
            raise InterpreterFailure(f"no process can be started for the interpreter: {error}") from error
        self._stdin = cast(IO[bytes], self._popen.stdin)
        self._stdout = cast(IO[bytes], self._popen.stdout)
        try:
            self.ask((sys.path, memory), _START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def ask(self, content: object, seconds: float) -> Answer:
        """Send `content` and wait for the answer; a child that gives none is killed and its end put into words."""
        self._log.seek(0)
        self._log.truncate()
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._popen.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(content, self._stdin, pickle.HIGHEST_PROTOCOL)
            self._stdin.flush()
            content = pickle.load(self._stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            if not expired.is_set():
                raise self._failure(seconds) from error
        finally:
            timer.cancel()
            timer.join()
        if expired.is_set():
            raise InterpreterTimeout(_timeout_cause(seconds))
        return cast(Answer, pickle.loads(cast(bytes, content)))

    def _failure(self, seconds: float) -> InterpreterFailure:
        """What the end of the child means."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_LAST_SECONDS)
        code = self._popen.returncode
        if code is not None and sys.platform != "win32" and code == -signal.SIGALRM:
            return InterpreterTimeout(_timeout_cause(seconds))  # the child's alarm, while this process was held up
        return InterpreterFailure(self._cause_of_death(code))

    def _cause_of_death(self, code: int | None) -> str:
        last_words = self._last_words()
        if any(sign in last_words for sign in _SIGNS_OF_NO_MEMORY):
            return "it needs more memory than there is"
        if code is None or code >= 0 or sys.platform == "win32":
            end = f"the interpreter's process ends unasked, with exit code {code}"
        elif code == -signal.SIGKILL:
            end = "the interpreter's process is killed by the system (SIGKILL), mostly a sign of too little memory"
        else:
            end = f"the interpreter crashes ({signal.Signals(-code).name})"
        return f"{end}: {last_words}" if last_words else end

    def _last_words(self) -> str:
        """Give the last line of standard error that is more than information."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LAST_BYTES))
        lines = self._log.read().decode(errors="replace").splitlines()
        telling = [line.strip() for line in lines if line.strip() and not line.startswith(("INFO:", "WARNING:"))]
        return telling[-1][:300] if telling else ""

    def kill(self) -> None:
        """End the process now and release all that it holds."""
        self._popen.kill()
        self._popen.wait()
        for stream in (self._stdin, self._stdout, self._log):
            with contextlib.suppress(OSError):  # what was still to be flushed has no reader any more
                stream.close()


def _timeout_cause(seconds: float) -> str:
    return f"it gives no answer within {seconds:g} s"
