"""Cluster damaged and hostile models, and report the worst time, the worst memory and whatever did not end cleanly.

python tools/mutate.py          # 2000 mutants of the test fixtures
python tools/mutate.py 500 --first 2000

Exit code 1 if a mutant took too long or too much memory, or ended in anything but a model or an error of the package.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent / "tests"
BATCH = 50
MOST_SECONDS = 5.0
MOST_BYTES = 500e6
ADDRESS_SPACE = 4 << 30
"""A child that wants more gets a MemoryError, which is not a clean end."""
BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


class Ending(NamedTuple):
    """How a mutant ended, in how many seconds of the processor (of all threads, so that other work on the machine does
    not count), and the largest resident size of its process so far, interpreter and numpy included.
    """

    number: int
    outcome: str
    clean: bool
    seconds: float
    peak: float


def run_here(first: int, stop: int) -> None:
    """Run the mutants in this process, a line of JSON for each."""
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    from support.mutations import (
        outcome,  # not at the top: a child starts with the peak of its parent, which is to stay small
    )

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in range(first, stop):
        start = time.process_time()
        try:
            ended, clean = outcome(number), True
        except Exception as error:
            ended, clean = f"{type(error).__name__}: {error}", False
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_UNIT
        print(json.dumps(Ending(number, ended, clean, time.process_time() - start, peak)), flush=True)


def run_in_child(first: int, stop: int) -> Iterator[Ending]:
    """Run the mutants in a child process; one that kills or hangs it is an ending too, and the rest go on."""
    while first < stop:
        command = [sys.executable, __file__, str(stop - first), "--first", str(first), "--here"]
        limit = 60 + MOST_SECONDS * (stop - first)
        start = time.perf_counter()
        try:
            child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit, check=False)
            output, cause = child.stdout, f"process ended with code {child.returncode}"
        except subprocess.TimeoutExpired as error:
            output, cause = (error.stdout or b"").decode(), "process hung"
        for line in output.splitlines():
            yield Ending(*json.loads(line))
            first += 1
        if first < stop:
            yield Ending(first, cause, False, time.perf_counter() - start, 0)
            first += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=2000, help="how many mutants (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    stop = options.first + options.count
    if options.here:
        run_here(options.first, stop)
        return 0
    endings = [
        ending
        for first in range(options.first, stop, BATCH)
        for ending in run_in_child(first, min(first + BATCH, stop))
    ]
    return report(endings)


def report(endings: list[Ending]) -> int:
    for outcome, count in Counter(ending.outcome for ending in endings if ending.clean).most_common():
        print(f"{count:6} {outcome}")
    slowest = max(endings, key=lambda ending: ending.seconds)
    largest = max(endings, key=lambda ending: ending.peak)
    print(f"worst time: {slowest.seconds:.2f} s (mutant {slowest.number})")
    print(f"worst memory: {largest.peak / 1e6:.0f} MB (batch of mutant {largest.number}, the whole process)")
    unclean = [e for e in endings if not e.clean or e.seconds > MOST_SECONDS or e.peak > MOST_BYTES]
    for ending in unclean:
        print(f"UNCLEAN: mutant {ending.number}: {ending.outcome}, {ending.seconds:.2f} s, {ending.peak / 1e6:.0f} MB")
    return 1 if unclean else 0


if __name__ == "__main__":
    sys.exit(main())
