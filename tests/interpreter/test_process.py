from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from operator import truediv
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.process import InterpreterProcess, Limits

REPOSITORY = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and resource limits are POSIX")


@pytest.fixture
def process() -> Iterator[InterpreterProcess]:
    with InterpreterProcess(Limits(timeout=30, memory=None)) as process:
        yield process


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def dies(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def refuse() -> None:
    raise InterpreterFailure("it is too early")


def last_words_then_abort() -> None:
    print("INFO: all is well", file=sys.stderr)
    print("F0000 check failed: x != nullptr", file=sys.stderr, flush=True)
    os.abort()


def chatter() -> str:
    print("this goes to no terminal", flush=True)
    os.write(1, b"nor does this")
    return "done"


def test_calls_run_in_one_other_process(process: InterpreterProcess):
    first = process.call(os.getpid)
    assert first != os.getpid()
    assert process.call(os.getpid) == first


def test_arrays_come_back_as_they_went(process: InterpreterProcess):
    values = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    np.testing.assert_array_equal(process.call(np.negative, values), -values)


def test_an_error_of_the_function_is_raised_here_with_the_place_it_came_from(process: InterpreterProcess):
    with pytest.raises(ValueError, match="No closing quotation") as caught:
        process.call(shlex.split, "'")
    assert "in split" in str(caught.value.__cause__)
    assert process.call(truediv, 1, 2) == 0.5


def test_a_refusal_arrives_with_its_cause(process: InterpreterProcess):
    with pytest.raises(InterpreterFailure, match="it is too early") as caught:
        process.call(refuse)
    assert caught.value.cause == "it is too early"


def test_what_the_child_prints_disturbs_neither_the_terminal_nor_the_answers(
    process: InterpreterProcess, capfd: pytest.CaptureFixture[str]
):
    assert process.call(chatter) == "done"
    assert capfd.readouterr() == ("", "")


@posix
@pytest.mark.parametrize(
    ("function", "arguments", "cause"),
    [
        (os.abort, (), "SIGABRT"),
        (ctypes.string_at, (0,), "SIGSEGV"),
        (os._exit, (3,), "exit code 3"),
        (sys.exit, (4,), "exit code 4"),
        (last_words_then_abort, (), "SIGABRT.*check failed: x != nullptr"),
    ],
)
def test_a_crash_is_put_into_words_and_the_next_call_works(
    process: InterpreterProcess, function: Callable[..., object], arguments: tuple[object, ...], cause: str
):
    before = process.call(os.getpid)
    with pytest.raises(InterpreterFailure, match=cause) as caught:
        process.call(function, *arguments)
    assert "\n" not in caught.value.cause
    assert "INFO" not in caught.value.cause
    assert process.call(os.getpid) != before


def test_a_hang_ends_at_the_time_limit(process: InterpreterProcess):
    pid = process.call(os.getpid)
    begun = time.monotonic()
    with pytest.raises(InterpreterFailure, match=r"no answer within 0\.3 s"):
        process.call(time.sleep, 60, timeout=0.3)
    assert time.monotonic() - begun < 5
    assert not alive(pid)
    assert process.call(truediv, 1, 1) == 1


def test_the_time_limit_covers_calls_that_name_none():
    with (
        InterpreterProcess(Limits(timeout=0.3, memory=None)) as process,
        pytest.raises(InterpreterFailure, match=r"0\.3 s"),
    ):
        process.call(time.sleep, 60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux holds a process to its memory limit")
@pytest.mark.parametrize("greed", [bytearray, np.zeros])
def test_a_memory_hog_is_stopped_at_the_limit(greed: Callable[[int], object]):
    with InterpreterProcess(Limits(timeout=30, memory=2 << 30)) as process:
        with pytest.raises(InterpreterFailure, match=r"more memory than there is within the limit of 2\.15 GB"):
            process.call(greed, 7 << 30)
        assert process.call(truediv, 1, 1) == 1


@posix
def test_ctrl_c_leaves_nothing_behind_and_the_process_usable(process: InterpreterProcess):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    pid = process.call(os.getpid)
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.call(time.sleep, 60)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not alive(pid)
    assert process.call(truediv, 4, 2) == 2  # not the answer of the call that was interrupted


def test_ctrl_c_does_not_wait_for_calls_in_threads(process: InterpreterProcess):
    """Neither for those under way, nor for those that are still to begin."""
    begun = time.monotonic()
    pid = process.call(os.getpid)
    calls: list[Future[None]] = []

    def work() -> None:
        with process.threads(2) as pool:
            calls.extend(pool.submit(process.call, time.sleep, 20) for _ in range(3))
            time.sleep(0.3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert time.monotonic() - begun < 10
    assert not alive(pid)
    assert all(call.cancelled() or call.exception() is not None for call in calls)
    with pytest.raises(InterpreterFailure, match="the run is stopped"):
        process.call(truediv, 4, 2)


@posix
def test_ctrl_c_from_the_terminal_is_left_to_the_parent(process: InterpreterProcess):
    os.kill(process.call(os.getpid), signal.SIGINT)
    assert process.call(truediv, 4, 2) == 2


def test_close_ends_the_child_and_an_exception_does_so_too():
    pids: list[int] = []

    def work() -> None:
        with InterpreterProcess(Limits(timeout=30, memory=None)) as process:
            pids.append(process.call(os.getpid))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert not alive(pids[0])


def test_no_child_is_started_before_it_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(REPOSITORY / "there-is-no-python-here"))
    with (
        InterpreterProcess(Limits(timeout=30, memory=None)) as process,
        pytest.raises(InterpreterFailure, match="started"),
    ):
        process.call(os.getpid)


START = """
import os, sys, time
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
print("running", flush=True)
process = InterpreterProcess(Limits(timeout=30, memory=None))
print(process.call(os.getpid), flush=True)
"""
KILL_WHILE_IDLE = START + "os.kill(os.getpid(), 9)\n"
KILL_IN = START + "__import__('threading').Timer(0.2, os.kill, (os.getpid(), 9)).start()\n"
KILL_WHILE_BUSY = KILL_IN + "process.call(time.sleep, 600, timeout=600)\n"
KILL_WHILE_STUCK = KILL_IN + "process.call(sum, range(1 << 60), timeout=1)\n"  # no other thread has a turn meanwhile


def run_script(arguments: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-X", "dev", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False, **options)


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("script", "seconds"),
    [(KILL_WHILE_IDLE, 5), (KILL_WHILE_BUSY, 5), (KILL_WHILE_STUCK, 15)],
    ids=["idle", "busy", "stuck"],
)
def test_the_child_ends_when_its_parent_is_killed(script: str, seconds: float):
    """At once; in a call that leaves no other thread a turn, by the end of the time for that call."""
    finished = run_script(["-c", script])
    assert finished.returncode == -signal.SIGKILL
    assert dies(int(finished.stdout.split()[1]), seconds)


def test_a_script_without_a_guard_is_not_run_again_by_the_child(tmp_path: Path):
    path = tmp_path / "unguarded.py"
    path.write_text(START + "process.close()\n")
    finished = run_script([str(path)])
    assert (finished.returncode, finished.stdout.count("running"), finished.stderr) == (0, 1, "")


def test_a_script_from_standard_input_works():
    finished = run_script(["-"], input=START + "process.close()\n")
    assert (finished.returncode, finished.stdout.count("running"), finished.stderr) == (0, 1, "")


def test_blas_has_one_thread_in_the_child(process: InterpreterProcess):
    """Sums would depend on the number of processors, and its threads wait for each other by counting."""
    process.call(np.ones, 1)  # BLAS comes with numpy
    pools = process.call(threadpoolctl.threadpool_info)
    assert {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"} == {1}
