"""The program as it is run in a folder of its own, and what is in there afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "import sys; from tflite_cluster.cli import main; sys.exit(main())"]
COMMAND = ["in.tflite", "out.tflite", "--clusters", "16", "--no-run", "--force"]
Captured = pytest.CaptureFixture[str]

LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="made to happen by means of Linux")


def contents(folder: Path = Path()) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
