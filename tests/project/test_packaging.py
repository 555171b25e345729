"""What a package index gets: links that lead somewhere, licences, and workflows that can be read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import tflite_cluster

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_links_of_the_long_description_are_absolute() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for rule in SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 10
    for link in links:
        assert link.startswith("https://"), link
    source = PROJECT["urls"]["Source"]
    assert all(link.startswith(source) for link in links)
    for link in links:
        path, _, _ = re.sub(rf"^{re.escape(source)}/(blob|raw)/main/", "", link).partition("#")
        assert (ROOT / path).exists(), link


def test_addresses_are_of_one_place() -> None:
    assert all(address.startswith(PROJECT["urls"]["Source"]) for address in PROJECT["urls"].values())


def test_nobody_is_given_all_of_tensorflow_unasked() -> None:
    assert not any(requirement.startswith("tensorflow") for requirement in PROJECT["dependencies"])
    extras = PROJECT["optional-dependencies"]
    assert any(requirement.startswith("tensorflow") for requirement in extras["tensorflow"])
    wanted = set(re.findall(r"\w+", extras["all"][0].partition("[")[2]))
    assert wanted == {"codecs", "images", "report", "updates"} <= set(extras)


def test_the_pages_on_extras_name_all_of_them() -> None:
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert {extra for extra in PROJECT["optional-dependencies"] if f"`{extra}`" not in page} == {"fixtures"}


def test_the_changelog_is_of_this_version() -> None:
    first = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[0]
    assert first.rstrip(",") == tflite_cluster.__version__


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_can_be_read_and_hold_no_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    for job in workflow["jobs"].values():
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["publish", "tests"]
