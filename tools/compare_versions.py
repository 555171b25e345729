"""Cluster the same models with two checkouts of the project, and compare the new files and the reports.

python tools/compare_versions.py OLD_CHECKOUT NEW_CHECKOUT [MODEL.tflite ...]

Every fixture of the new checkout and every model that is named is clustered at fixed settings. Bytes, exit codes and
JSON reports must be the same, apart from the version; each difference is a line of the table. The exit code is 1 if
there are any. Folders made by `git worktree add` will do as checkouts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

SETTINGS: dict[str, list[str]] = {
    "--clusters 16": ["--clusters", "16"],
    "--clusters 16 --no-run": ["--clusters", "16", "--no-run"],
    "--store int8 --clusters 32": ["--store", "int8", "--clusters", "32"],
}
SEARCHES: dict[str, list[str]] = {"default": [], "--max-size 50%": ["--max-size", "50%"]}
"""Settings that search, which takes long on a large model."""

LARGEST_TO_SEARCH = 100_000
"""Bytes of the largest model that is searched; all fixtures and the example are smaller."""

SECONDS = 1800
"""Most time for all settings of one model."""

LEFT_OUT = {"tool", "benchmark"}
"""Keys of the report that hold versions and times."""

MOST_KEYS = 4
"""Keys of a report that a line names."""

SCRIPT = """
import json, sys
from tflite_cluster.cli import main
model, settings = sys.argv[1], json.loads(sys.argv[2])
for number, options in enumerate(settings):
    code = main([model, f"{number}.tflite", "--report", f"{number}.json", "--quiet", "--workers", "1", *options])
    print(f"exit code {code}", flush=True)
"""


class Outcome(NamedTuple):
    """What one run leaves: how it ended, the new file and the report, the latter two None if not written."""

    ending: str
    model: bytes | None
    report: Any


class Difference(NamedTuple):
    """A line of the table."""

    model: str
    settings: str
    what: str


def settings_for(model: Path) -> dict[str, list[str]]:
    """Options by the name of the settings."""
    return SETTINGS | SEARCHES if model.stat().st_size <= LARGEST_TO_SEARCH else SETTINGS


def outcomes(checkout: Path, model: Path, settings: list[list[str]]) -> list[Outcome]:
    """Cluster a model at each of the settings with the code of a checkout, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-c", SCRIPT, str(model.resolve()), json.dumps(settings)]
        if sys.version_info < (3, 11):
            command.remove("-P")
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            endings, rest = done.stdout.splitlines(), f"died with code {done.returncode}"
        except subprocess.TimeoutExpired as error:
            endings, rest = (error.stdout or b"").decode().splitlines(), "took too long"
        endings += [rest] * (len(settings) - len(endings))
        return [
            Outcome(ending, _content(Path(folder, f"{number}.tflite")), _report(Path(folder, f"{number}.json")))
            for number, ending in enumerate(endings)
        ]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _report(path: Path) -> Any:
    content = _content(path)
    if content is None:
        return None
    return {key: value for key, value in json.loads(content).items() if key not in LEFT_OUT}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All numbers, words and empty containers in a report, as JSON, by where they stand."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]")
    else:
        yield path, json.dumps(value)


def differences(old: Outcome, new: Outcome) -> Iterator[str]:
    """What differs, in words."""
    if old.ending != new.ending:
        yield f"{old.ending} -> {new.ending}"
    if old.model != new.model:
        yield _bytes_in_words(old.model, new.model)
    if (old.report is None) != (new.report is None):
        yield "only one version writes a report"
    elif keys := changed_keys(old.report, new.report):
        yield f"report: {', '.join(keys[:MOST_KEYS])}" + (
            f" and {more} more" if (more := len(keys[MOST_KEYS:])) else ""
        )


def changed_keys(old: Any, new: Any) -> list[str]:
    """Keys of a report whose values differ, once for all items of a list."""
    before, after = dict(leaves(old)), dict(leaves(new))
    changed = (path for path in {**before, **after} if before.get(path) != after.get(path))
    return list(dict.fromkeys(re.sub(r"\[\d+\]", "", path) for path in changed))


def _bytes_in_words(old: bytes | None, new: bytes | None) -> str:
    if old is None or new is None:
        return "only the new version writes a file" if old is None else "only the old version writes a file"
    if len(old) != len(new):
        return f"{len(old):,} -> {len(new):,} bytes"
    return f"{sum(one != other for one, other in zip(old, new, strict=True)):,} of {len(old):,} bytes"


def compare(old: Path, new: Path, model: Path) -> list[Difference]:
    """All differences between what two checkouts make of one model."""
    settings = settings_for(model)
    both = (outcomes(checkout, model, list(settings.values())) for checkout in (old, new))
    return [
        Difference(model.name, name, what)
        for name, before, after in zip(settings, *both, strict=True)
        for what in differences(before, after)
    ]


def main() -> int:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, metavar="OLD_CHECKOUT")
    parser.add_argument("new", type=Path, metavar="NEW_CHECKOUT")
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL.tflite")
    arguments = parser.parse_args()
    for checkout in (arguments.old, arguments.new):
        if not (checkout / "tflite_cluster").is_dir():
            parser.error(f"{checkout} is no checkout of this project: it has no folder tflite_cluster")
    models = [*sorted((arguments.new / "tests" / "fixtures").glob("*.tflite")), *arguments.models]
    found = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for a process
        for lines in pool.map(partial(compare, arguments.old, arguments.new), models):
            for line in lines:
                print(f"{line.model:50}  {line.settings:26}  {line.what}", flush=True)
            found += len(lines)
    print(f"models: {len(models)}, differences: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
