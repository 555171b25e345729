"""The documents become a site without a warning, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tflite_cluster import __version__

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_site(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.parent.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*/index.html")}
    loaded = [
        tag for page in pages.values() for tag in re.findall(r"<(?:script|link|img)\b[^>]*>", page) if "//" in tag
    ]
    assert loaded == []
    assert "MobileNetV1" in pages["results"]
    assert f"tflite-cluster {__version__}" in pages["results"]
    assert 'class="md-footer__link md-footer__link--next"' in pages["results"]
    assert 'id="tflite_cluster.cluster"' in pages["python-api"]
    assert (tmp_path / "schema" / "report.schema.json").is_file()
