"""Two checkouts compared: the same project, and copies of it that were changed on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import compare_versions
import pytest
from support.fixture_models import FOLDER

ROOT = Path(__file__).parents[2]
MODEL = FOLDER / "conv_2d_int8.tflite"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tflite_cluster", tmp_path / "tflite_cluster", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.fixture(autouse=True)
def one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_versions, "SETTINGS", {"few": ["--clusters", "16", "--no-run"]})
    monkeypatch.setattr(compare_versions, "SEARCHES", {})


@pytest.mark.slow
def test_another_version_number_is_no_difference(changed: Path) -> None:
    edit(changed / "tflite_cluster" / "version.py", '__version__ = "', '__version__ = "9')
    assert compare_versions.compare(ROOT, changed, MODEL) == []


@pytest.mark.slow
def test_another_byte_and_another_default_are(changed: Path) -> None:
    edit(changed / "tflite_cluster" / "config.py", "seed: int = 0", "seed: int = 1")
    spoil = """

_main = main


def main(arguments):
    code = _main(arguments)
    with open(arguments[1], "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    return code
"""
    append(changed / "tflite_cluster" / "cli" / "__init__.py", spoil)
    found = compare_versions.compare(ROOT, changed, MODEL)
    size = MODEL.stat().st_size
    assert [line.what for line in found] == [f"1 of {size:,} bytes", "report: config.seed"]
    assert {(line.model, line.settings) for line in found} == {(MODEL.name, "few")}


def test_a_version_that_dies_differs(changed: Path) -> None:
    append(changed / "tflite_cluster" / "cli" / "__init__.py", "\n\ndef main(arguments):\n    raise SystemExit(7)\n")
    assert [line.what for line in compare_versions.compare(ROOT, changed, MODEL)] == [
        "exit code 0 -> died with code 7",
        "only the old version writes a file",
        "only one version writes a report",
    ]


@pytest.mark.slow
def test_the_table_and_the_exit_code(
    changed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["compare_versions.py", str(ROOT), str(changed), str(MODEL)])
    assert compare_versions.main() == 0
    assert capsys.readouterr().out == "models: 1, differences: 0\n"
    edit(changed / "tflite_cluster" / "config.py", "seed: int = 0", "seed: int = 1")
    assert compare_versions.main() == 1
    line, total = capsys.readouterr().out.splitlines()
    assert line.split() == [MODEL.name, "few", "report:", "config.seed"]
    assert total == "models: 1, differences: 1"


def test_keys_are_named_once_for_all_items_of_a_list() -> None:
    old = {"tensors": [{"a": 1, "b": []}, {"a": 2, "b": []}], "size": None}
    new = json.loads(json.dumps(old))
    assert compare_versions.changed_keys(old, new) == []
    new["tensors"][0]["a"] = new["tensors"][1]["a"] = 3
    new["size"] = {"bytes": 1}
    assert compare_versions.changed_keys(old, new) == ["tensors.a", "size", "size.bytes"]
