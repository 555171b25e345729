"""What is told while the work goes on: a plan, lines for logs, and bars."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from tflite_cluster.cli.progress import progress_bar, progress_lines
from tflite_cluster.progress import Plan
from tflite_cluster.search.plan import plan

Captured = pytest.CaptureFixture[str]


def lines(capsys: Captured) -> list[Any]:
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line.get("plan") or (line["stage"], line["done"], line["total"]) for line in found]


def test_a_stage_has_a_line_as_it_begins_and_as_it_ends(capsys: Captured) -> None:
    with progress_lines() as tell:
        tell(Plan("all of it"), 1, 1)
        for done in range(1, 6):
            tell("Calibrating", done, 5)
        tell("Calibrating", 5, 5)
        tell("Searching", 1, 9)
        tell("Searching", 2, 9)
        tell("Measuring", 1, 1)
        tell("Calibrating", 1, 5)
    assert lines(capsys) == [
        "all of it",
        ("Calibrating", 1, 5),
        ("Calibrating", 5, 5),
        ("Searching", 1, 9),
        ("Searching", 2, 9),
        ("Measuring", 1, 1),
        ("Calibrating", 1, 5),
    ]


def test_a_stage_that_goes_on_has_lines_in_between(capsys: Captured) -> None:
    with progress_lines(every=0.05) as tell:
        tell("Searching", 1, 9)
        time.sleep(0.5)  # a single long step
        tell("Searching", 9, 9)
        time.sleep(0.2)  # nothing goes on
    found = lines(capsys)
    assert found[0] == ("Searching", 1, 9)
    assert found[-1] == ("Searching", 9, 9)
    assert 3 <= found.count(("Searching", 1, 9)) <= 12
    assert found.count(("Searching", 9, 9)) == 1


def test_the_log_ends_with_the_work(capsys: Captured) -> None:
    def fails() -> None:
        with progress_lines(every=0.01) as tell:
            tell("Searching", 1, 9)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    written = len(lines(capsys))
    time.sleep(0.1)
    assert written >= 1
    assert lines(capsys) == []


def test_the_plan_says_what_and_how_long() -> None:
    words = plan(300, 8, 20, 4, False, "20 seconds")
    assert words == (
        "calibrate on 300 samples, measure 40 sensitivities on 8, then try about 4 candidates and up to 4 with layers "
        "clustered in order; meant to take at most 20 seconds on two idle processors"
    )
    assert plan(1, 1, 1, 0, True, "2 minutes") == "calibrate on 1 sample, then cluster 1 weight"


def test_a_bar_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tflite_cluster.cli.progress._PATIENCE", 0.0)
    assert Console(file=terminal).is_terminal
    with progress_bar(quiet=False) as show:
        show(Plan("all of it"), 1, 1)
        for done in range(4):
            show("Searching", done, 40)
            time.sleep(0.2)
    text = terminal.getvalue()
    assert "Plan: all of it" in text
    assert "Searching" in text
    assert "0:00:0" in text


@pytest.mark.parametrize(("quiet", "said"), [(False, "Plan: all of it\n"), (True, "")])
def test_a_log_gets_the_plan_and_no_bar(quiet: bool, said: str, capsys: Captured) -> None:
    with progress_bar(quiet) as show:
        show(Plan("all of it"), 1, 1)
        for done in range(4):
            show("Searching", done, 40)
    assert capsys.readouterr().err == said


def test_a_log_that_nobody_reads_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True) as pipe, progress_bar(quiet=False) as show:
        monkeypatch.setattr(sys, "stderr", pipe)
        show(Plan("all of it"), 1, 1)
