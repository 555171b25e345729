"""The notebook runs from its first cell to its last, in a kernel of its own where Jupyter's client is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "digits.ipynb"
CONTENT = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
EXECUTE = """
import json, sys, nbclient, nbformat
notebook = nbclient.NotebookClient(nbformat.read(sys.argv[1], 4), timeout=300, resources={}).execute()
print(json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"]))
"""


def test_it_is_kept_without_outputs() -> None:
    code = [cell for cell in CONTENT["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert [cell["outputs"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.slow
def test_it_runs() -> None:
    pytest.importorskip("nbclient", reason="needs Jupyter's client")
    pytest.importorskip("ipykernel", reason="needs a kernel")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in json.loads(done.stdout.splitlines()[-1]) for output in cell]
    text = "".join(output.get("text", "") for output in outputs)
    assert "times smaller" in text
    assert "only weights and biases: True" in text
    assert any("image/png" in output.get("data", {}) for output in outputs)
