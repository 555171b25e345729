"""Draw docs/results.svg: how many times smaller the zips of docs/results.md are, as bars.

python tools/make_results.py           # write it
python tools/make_results.py --check   # fail if the picture says something else than the page
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURE = DOCS / "results.svg"
SHOWN = {
    "In place, without data": "bar1",
    "In place, with data": "bar2",
    "Stored as int8, without data": "bar3",
    "Stored as int8, with data": "bar4",
}
"""Headings of tables -> class of their bars."""

MODELS = ("MobileNetV1", "ResNet8", "DS-CNN-L")
WIDTH, MARGIN, ROW, BAR = 420, 12, 26, 20
PER_TIME = 36
"""Units of length for each time smaller."""

STYLE = """
text { font: 15px system-ui, sans-serif; fill: #24292f }
.model { font-weight: 600 }
.bar0 { fill: #8c959f } .bar1 { fill: #80b9f7 } .bar2 { fill: #0969da } .bar3 { fill: #c9a6f5 } .bar4 { fill: #8250df }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar0 { fill: #6e7681 } }
"""


def ratios(page: str) -> dict[str, dict[str, float]]:
    """Heading of a table -> model -> times smaller, as the page has them."""
    found = {}
    for heading in SHOWN:
        _, _, section = page.partition(f"### {heading}\n")
        rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \|", section.split("\n#")[0], re.M)
        found[heading] = {model: float(ratio) for model, ratio in rows}
    return found


def bar(top: int, length: float, name: str, words: str) -> list[str]:
    """A bar with its words behind it."""
    return [
        f'<rect class="{name}" x="{MARGIN}" y="{top}" width="{length:.0f}" height="{BAR}" rx="3"/>',
        f'<text x="{MARGIN + length + 8:.0f}" y="{top + 15}">{words}</text>',
    ]


def draw(page: str) -> str:
    """The picture, from the text of the page."""
    told = ratios(page)
    parts: list[str] = []
    top = 0
    for heading, name in SHOWN.items():
        parts += [
            f'<rect class="{name}" x="{MARGIN}" y="{top + 4}" width="{BAR}" height="14" rx="3"/>',
            f'<text x="{MARGIN + BAR + 8}" y="{top + 16}">{heading}</text>',
        ]
        top += ROW
    for model in MODELS:
        parts.append(f'<text class="model" x="{MARGIN}" y="{top + 28}">{model}, float32</text>')
        top += 38
        for heading, name in SHOWN.items():
            ratio = told[heading][model]
            parts += bar(top, ratio * PER_TIME, name, f"{ratio:.2f}×")
            top += ROW
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 4}" '
        f'viewBox="0 0 {WIDTH} {top + 4}" role="img">\n'
        f"<title>How many times smaller the zip of a float model gets</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    picture = draw((DOCS / "results.md").read_text(encoding="utf-8"))
    if not check:
        PICTURE.write_text(picture, encoding="utf-8")
        return 0
    if picture != PICTURE.read_text(encoding="utf-8"):
        print("docs/results.svg does not show what docs/results.md says: run tools/make_results.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
