from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from results import CLUSTERED, RESULTS, WRITTEN

from tflite_cluster.cli import main
from tflite_cluster.histograms import Histogram, histograms
from tflite_cluster.report.html import to_html
from tflite_cluster.result import Result

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.tflite"
FIXTURES = Path(__file__).parents[1] / "fixtures"
HOSTILE = "<script>document.title='x'</script>\"'&$a_b$\x1b[31m\ud800"
HISTOGRAM = Histogram(HOSTILE, "value", -1.0, 1.0, (1, 5, 9, 2), ((-0.5, 6), (0.25, 11)), 2)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def hostile() -> Result:
    tensors = tuple(replace(tensor, name=HOSTILE, operator=HOSTILE) for tensor in CLUSTERED)
    return replace(RESULTS["searched"], source=HOSTILE, tensors=tensors)


@pytest.mark.parametrize("kind", RESULTS)
def test_every_kind_of_result(kind: str) -> None:
    page = to_html(RESULTS[kind], [HISTOGRAM], kind in WRITTEN)
    assert page == to_html(RESULTS[kind], [HISTOGRAM], kind in WRITTEN)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href|src)="([^"]*)"', page)) <= {f"#{name}" for name in ids}
    assert "mathdefault" not in page
    assert ("No model was written." in page) == (kind not in WRITTEN)
    assert page.count("<figure") == page.count('role="img"')


def test_names_are_only_text() -> None:
    page = to_html(hostile(), [HISTOGRAM], True)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_histograms_hold_what_the_files_hold(tmp_path: Path) -> None:
    for model in (EXAMPLE, FIXTURES / "conv_2d_int8.tflite"):
        assert main([str(model), str(tmp_path / "out.tflite"), "--clusters", "8", "--no-check", "--force", "-q"]) == 0
        found = histograms(model, tmp_path / "out.tflite")
        assert found
        for histogram in found:
            assert histogram.distinct == len(histogram.centroids) <= 8
            assert sum(histogram.counts) == sum(count for _, count in histogram.centroids)
    assert histograms(EXAMPLE, EXAMPLE) == ()


def test_from_the_command_line(tmp_path: Path) -> None:
    page, output = tmp_path / "report.html", tmp_path / "out.tflite"
    assert main([str(EXAMPLE), str(output), "--clusters", "8", "--no-check", "-q", "--report", str(page)]) == 0
    assert "Centroids of digits_1/dense_1/MatMul" in page.read_text(encoding="utf-8")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    output = tmp_path / "out.tflite"
    assert main([str(EXAMPLE), str(output), "--report", str(tmp_path / "report.html")]) == 2
    assert "pip install 'tflite-cluster[report]'" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_in_a_browser(tmp_path: Path) -> None:
    """On a telephone, with all tables open: nothing sticks out, and the console has nothing to say."""
    page = to_html(hostile(), [HISTOGRAM] * 2, True)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<meta charset="utf-8"><iframe width="390" height="800" srcdoc="{html.escape(page)}"></iframe><script>'
        "onload = () => { const inner = document.querySelector('iframe').contentDocument;"
        "inner.querySelectorAll('details').forEach((each) => each.open = true);"
        "document.title = inner.documentElement.clientWidth + ' ' + inner.documentElement.scrollWidth; }</script>",
        encoding="utf-8",
    )
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found is not None
    assert 300 < int(found[1]) == int(found[2])
