"""The benchmark that anyone can run, and the pages that are made from its rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import make_results
import numpy as np
import pytest
from benchmarks import page, rows
from benchmarks.ablations import ABLATIONS, Ablation, SeamGoneError, without
from benchmarks.command import main
from benchmarks.measure import compared, points, standard_error
from benchmarks.method import tools
from benchmarks.methods.this_tool import like
from benchmarks.published import results_for
from benchmarks.results import Results
from benchmarks.tables import signed
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SAMPLES = 60
CHEAP = ["original/*", "TFMOT's start/linear*", "made elsewhere/*"]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with the example, and a model made elsewhere that is none."""
    with np.load(EXAMPLES / "digits.samples.npz") as samples:
        np.savez(tmp_path / "samples.npz", x=samples["x"][:SAMPLES], y=samples["y"][:SAMPLES])
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    made = {"tool": "training", "method": "broken", "path": "broken.tflite", "seconds": 1.0}
    model = {"path": str(EXAMPLES / "digits.tflite"), "labelled": "samples.npz", "name": "Digits", "made": [made]}
    (tmp_path / "models.json").write_text(json.dumps({"model": [model]}), encoding="utf-8")
    return tmp_path / "models.json"


@pytest.mark.slow
def test_a_run_resumes_and_a_failure_is_a_row(listed: Path) -> None:
    out = listed.with_name("results.jsonl")
    command = [str(listed), "--out", str(out), "--methods", *CHEAP]
    assert main(command) == 0
    written = out.read_text(encoding="utf-8")
    original, linear, broken = rows.read(out)
    assert original["sizes"]["file"] == linear["sizes"]["file"] == (EXAMPLES / "digits.tflite").stat().st_size
    assert original["counts"] == {**original["counts"], "samples": SAMPLES, "lost": 0, "gained": 0, "agree": SAMPLES}
    assert linear["sizes"]["zip9"] < original["sizes"]["zip9"] / 3
    assert linear["processor"] > 0
    assert linear["memory"] > 10**6
    assert broken["failed"]

    assert main(command) == 0
    assert out.read_text(encoding="utf-8") == written

    rows.write(out, [original, broken])
    assert main(command) == 0
    _, again, _ = rows.read(out)
    for key in ("sizes", "counts", "floor"):
        assert again[key] == linear[key]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=50))
def test_the_error_is_that_of_paired_differences(right: list[tuple[bool, bool]]) -> None:
    was, is_now = (np.array(column) for column in zip(*right, strict=True))
    y = np.zeros(len(right), int)
    before, after = (np.stack([column * 1.0, np.full(len(right), 0.5)], 1) for column in (was, is_now))
    counts = compared(before, after, y, 0)
    change = 100 * (is_now.astype(float) - was)
    assert math.isclose(points(counts), change.mean(), abs_tol=1e-9)
    assert math.isclose(standard_error(counts), change.std(ddof=1) / math.sqrt(len(right)), abs_tol=1e-9)


def row(tool: str, method: str, zip9: int, lost: int, **more: Any) -> dict[str, Any]:
    """A row of a float model of 1,000 samples, whose original is right for 900 and weighs 1 MB zipped."""
    counts = {"samples": 1000, "right_before": 900, "right_after": 900 - lost, "lost": lost, "gained": 0}
    sizes = dict.fromkeys(("file", "zip9", "gzip6", "deflate12", "xz"), zip9)
    return {
        "model": "MobileNetV1", "model_hash": "1", "samples_hash": "2", "published": "MobileNetV1", "is_float": True,
        "tool": tool, "method": method, "settings": {}, "uses_data": True, "version": "1", "sizes": sizes,
        "floor": {"codes": zip9 // 2, "rest": 100}, "counts": counts | {"agree": 1000 - lost},
        "seconds": 1.0, "processor": 2.0, "memory": 10**7, **more,
    }  # fmt: skip


ORIGINAL = row("original", "unchanged", 10**6, 0)
PEER = row("peer", "quick", 150_000, 5)


def rivals(lost: int) -> list[dict[str, Any]]:
    """This tool beside each of the published results."""
    found = results_for("MobileNetV1")
    return [row("this tool", like(e).name, int(10**6 / e.ratio), lost, settings=dict(like(e).settings)) for e in found]


def test_where_another_tool_is_smaller_the_page_says_so() -> None:
    mine = row("this tool", page.SAME_DATA, 200_000, 0)
    close = row("peer", "ruinous", 100_000, 6)
    text = page.page(Results.of([ORIGINAL, mine, PEER, close]), {})
    assert "0 of 1 models. Another tool does of MobileNetV1 (peer, quick)" in text
    assert "| peer | quick | **6.67** | -0.5 | 0.2 | 99.5 |" in text
    assert "| this tool | in place, with data | 5.00 | 0.0 | 0.0 | 100.0 |" in text
    assert text.count("**6.67**") == 1


def test_that_it_beats_retraining_is_said_of_rows_for_which_it_is_true() -> None:
    of_all = Results.of([ORIGINAL, *rivals(2)])
    assert page.statement(of_all).startswith("For each of the 3 published rows")
    worse = rivals(2)
    worse[1]["counts"] = row("", "", 1, 4)["counts"]
    said = page.statement(Results.of([ORIGINAL, *worse]))
    assert said.startswith("For 2 of the 3 published rows")
    assert "at 32 values" in said


def test_only_the_newest_version_counts() -> None:
    old, new = (row("this tool", page.SAME_DATA, size, 0, version=str(size)) for size in (300_000, 200_000))
    assert [each["version"] for each in rows.newest([old, PEER, new])] == ["1", "200000"]


def test_nothing_lost_has_no_sign() -> None:
    assert [signed(value) for value in (-0.04, 0.0, 0.04, -0.06)] == ["0.0", "0.0", "0.0", "-0.1"]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
def test_the_place_of_each_ablation_is_there(ablation: Ablation) -> None:
    with without(ablation):
        pass


def test_an_ablation_whose_place_is_gone_says_so() -> None:
    gone = Ablation("nothing", "search.run", "no_such_function", lambda original: original)
    with pytest.raises(SeamGoneError, match=r"tflite_cluster\.search\.run has no no_such_function"), without(gone):
        pass


def test_every_tool_is_found() -> None:
    names = list(tools())
    assert names[:2] == ["original", "this tool"]
    assert len(names) == len(list((ROOT / "tools" / "benchmarks" / "methods").glob("[!_]*.py")))


def test_the_pages_say_what_the_rows_say() -> None:
    made = dict(make_results.made(Results.of(rows.read(ROOT / "docs" / "results.jsonl"))))
    assert len(made) == 5
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run tools/make_results.py"
