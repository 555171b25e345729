"""The program as it is run in a folder of its own, and what is in there afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tflite_cluster.cli import main

PROGRAM = [sys.executable, "-c", "import sys; from tflite_cluster.cli import main; sys.exit(main())"]
COMMAND = ["in.tflite", "out.tflite", "--clusters", "16", "--no-run", "--force"]
Captured = pytest.CaptureFixture[str]

LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="made to happen by means of Linux")


def contents(folder: Path = Path()) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def run(command: str) -> int:
    return main(command.split())


def refused(command: str, code: int, capsys: Captured, *words: str) -> None:
    """The command fails with this code and these words on standard error, and leaves the folder as it was."""
    before = contents()
    assert run(command) == code
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert contents() == before
