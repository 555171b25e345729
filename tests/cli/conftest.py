"""A working directory with models of several kinds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with models of several kinds in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "digits.tflite", "digits.tflite")
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        images, labels = samples["x"], samples["y"]
    np.savez("digits.samples.npz", x=images[:100], y=labels[:100])
    np.savez("from_one.npz", x=images[:20], y=labels[:20] + 1)
    for name in ("conv_2d_float32", "fully_connected_float32", "four_values_float32", "custom_operator_float32"):
        shutil.copy(FIXTURES / f"{name}.tflite", f"{name}.tflite")
    Path("garbage.tflite").write_bytes(bytes(range(256)) * 8)
    Path("cut.tflite").write_bytes(Path("digits.tflite").read_bytes()[:50_000])
    Path("empty.tflite").touch()
    np.savez("misfit.npz", x=np.zeros((3, 5), np.float32))
    Path("broken.npz").write_bytes(b"no zip at all")
    return tmp_path
