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

    model, data, output, source = (
        None if arguments[name] is None else Path(arguments[name]) for name in ("model", "data", "output", "source")
    )
    assert model is not None
    assert output is not None
    tools()[arguments["tool"]].run(Job(model, data, output, arguments["settings"], source))


def run(arguments: dict[str, Any]) -> None:
    """Run a model on samples, and keep its outputs."""
    from .measure import outputs

    with np.load(arguments["samples"]) as samples:
        np.save(arguments["output"], outputs(Path(arguments["model"]), samples["x"]))


def speed(arguments: dict[str, Any]) -> None:
    """Do something to a generated file."""
    from .speed import WAYS

    WAYS[arguments["way"]].run(Path(arguments["model"]), Path(arguments["output"]))


if __name__ == "__main__":
    {"make": make, "run": run, "speed": speed}[sys.argv[1]](json.loads(sys.argv[2]))
