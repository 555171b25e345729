"""The tasks that run in processes of their own: `python -m benchmarks.worker TASK ARGUMENTS`, the latter as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def make(arguments: dict[str, Any]) -> None:
    """Let a tool make a model."""
    from .method import Job, tools

    data = arguments["data"]
    job = Job(
        Path(arguments["model"]), None if data is None else Path(data), Path(arguments["output"]), arguments["settings"]
    )
    tools()[arguments["tool"]].run(job)


def run(arguments: dict[str, Any]) -> None:
    """Run a model on samples, and keep its outputs."""
    from .measure import outputs

    with np.load(arguments["samples"]) as samples:
        np.save(arguments["output"], outputs(Path(arguments["model"]), samples["x"]))


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](json.loads(sys.argv[2]))
