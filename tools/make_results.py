"""Make the pages of results, their pictures and the tables of README.md and docs/index.md from docs/results.jsonl.

python tools/make_results.py           # write them
python tools/make_results.py --check   # fail if a page, a table or the bars say something else than the rows

The rows are written by tools/benchmark.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benchmarks import bars, curves, page, rows  # noqa: E402
from benchmarks.results import Results  # noqa: E402

DOCS = ROOT / "docs"


def made(results: Results) -> Iterator[tuple[Path, str]]:
    """All texts that follow from the rows, and where they stand."""
    yield DOCS / "results.md", page.page(results, curves.shown(results))
    yield DOCS / "results-all.md", page.all_rows(results)
    yield DOCS / "results.svg", bars.draw(results)
    for path, text in ((ROOT / "README.md", page.readme_text(results)), (DOCS / "index.md", page.index_text(results))):
        yield path, between_marks(path.read_text(encoding="utf-8"), text)


def between_marks(text: str, new: str) -> str:
    """A text with what stands between its two marks replaced."""
    pattern = r"(<!-- made by tools/make_results.py -->\n).*?(\n<!-- up to here -->)"
    replaced, count = re.subn(pattern, lambda found: found[1] + new + found[2], text, count=1, flags=re.S)
    if not count:
        raise SystemExit("the marks between which tables are made are gone")
    return replaced


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    results = Results.of(rows.read(DOCS / "results.jsonl"))
    differing = [path for path, text in made(results) if not path.exists() or path.read_text(encoding="utf-8") != text]
    missing = [path for path in curves.shown(results).values() if not (DOCS / path).exists()]
    if check:
        for each in (*differing, *missing):
            print(f"{each} does not say what docs/results.jsonl says: run tools/make_results.py")
        return 1 if differing or missing else 0
    for path, text in made(results):
        path.write_text(text, encoding="utf-8")
    curves.draw(results, DOCS / "curves")
    return 0


if __name__ == "__main__":
    sys.exit(main())
