"""docs/results.svg: how many times smaller the zips of float models are, as bars."""

from __future__ import annotations

from .results import INT8, INT8_DATA, SAME, SAME_DATA, Results

_SHOWN = {SAME: "bar1", SAME_DATA: "bar2", INT8: "bar3", INT8_DATA: "bar4"}
"""Methods -> class of their bars."""

_MOST_MODELS = 4
WIDTH, MARGIN, ROW, BAR = 420, 12, 26, 20
_LONGEST = 330

STYLE = """
text { font: 15px system-ui, sans-serif; fill: #24292f }
.model { font-weight: 600 }
.bar0 { fill: #8c959f } .bar1 { fill: #80b9f7 } .bar2 { fill: #0969da } .bar3 { fill: #c9a6f5 } .bar4 { fill: #8250df }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar0 { fill: #6e7681 } }
"""


def _bar(top: int, length: float, name: str, words: str) -> list[str]:
    """A bar with its words behind it."""
    return [
        f'<rect class="{name}" x="{MARGIN}" y="{top}" width="{length:.0f}" height="{BAR}" rx="3"/>',
        f'<text x="{MARGIN + length + 8:.0f}" y="{top + 15}">{words}</text>',
    ]


def draw(results: Results) -> str:
    """The picture."""
    models = [model for model in results.models if model.is_float and model.entry(SAME_DATA)][:_MOST_MODELS]
    ratios = {
        (model.name, method): entry.times()
        for model in models
        for method in _SHOWN
        if (entry := model.entry(method)) is not None
    }
    longest = max(ratios.values(), default=1.0)
    parts: list[str] = []
    top = 0
    for method, name in _SHOWN.items():
        parts += [
            f'<rect class="{name}" x="{MARGIN}" y="{top + 4}" width="{BAR}" height="14" rx="3"/>',
            f'<text x="{MARGIN + BAR + 8}" y="{top + 16}">{method.capitalize()}</text>',
        ]
        top += ROW
    for model in models:
        parts.append(f'<text class="model" x="{MARGIN}" y="{top + 28}">{model.name}</text>')
        top += 38
        for method, name in _SHOWN.items():
            if (model.name, method) in ratios:
                ratio = ratios[model.name, method]
                parts += _bar(top, ratio / longest * _LONGEST, name, f"{ratio:.2f}×")
                top += ROW
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 4}" '
        f'viewBox="0 0 {WIDTH} {top + 4}" role="img">\n'
        f"<title>How many times smaller the zip of a float model gets</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )
