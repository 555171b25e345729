"""Curves of how many times smaller the zip gets against the points that it costs, a picture for each model."""

from __future__ import annotations

import re
from pathlib import Path

from .results import TOOL, Entry, Model, Results

MOST_LOST = 6.0
"""Points lost up to which the pictures show files."""

_LOOKS = {
    "in place, with data": ("#0969da", "o"),
    "in place, without data": ("#54aeff", "s"),
    "stored as int8, with data": ("#8250df", "o"),
    "stored as int8, without data": ("#c297ff", "s"),
    "16 or 32 values": ("#0550ae", "+"),
    "k-means (scikit-learn)": ("#8c959f", "^"),
    "TFMOT's start": ("#6e7781", "v"),
    "palettes (coremltools' way)": ("#bf8700", "D"),
    "litert-quantizer": ("#cf222e", "X"),
}
_FIXED = "16 or 32 values"
_OTHER = ("#1a7f37", "P")


def slug(name: str) -> str:
    """The name of a model as that of a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def series(model: Model) -> dict[str, list[Entry]]:
    """The entries of a model by what they are called in the picture, within what it shows."""
    found: dict[str, list[Entry]] = {}
    for entry in model.compared:
        if -entry.points <= MOST_LOST:
            found.setdefault(_name(entry), []).append(entry)
    order = list(_LOOKS)
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _name(entry: Entry) -> str:
    if entry.tool != TOOL:
        return entry.tool
    if "clusters" in entry.row["settings"]:
        return _FIXED
    place = "stored as int8" if entry.row["settings"].get("store") == "int8" else "in place"
    return f"{place}, {'with' if entry.row['uses_data'] else 'without'} data"


def shown(results: Results) -> dict[str, str]:
    """The pictures by the names of their models: paths from docs/."""
    return {
        model.name: f"curves/{slug(model.name)}.svg"
        for model in results.models
        if model.is_float and any(model.of(TOOL)) and len({entry.tool for entry in model.compared}) > 1
    }


def draw(results: Results, folder: Path) -> None:
    """Write each picture as SVG and as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "results", "svg.fonttype": "none", "font.size": 10}
    import matplotlib.pyplot as plt

    folder.mkdir(exist_ok=True)
    for model in results.models:
        if model.name not in shown(results):
            continue
        figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
        for name, entries in series(model).items():
            colour, marker = _LOOKS.get(name, _OTHER)
            entries.sort(key=Entry.times)
            is_curve = entries[0].tool == TOOL and name != _FIXED
            axes.errorbar(
                [-entry.points for entry in entries],
                [entry.times() for entry in entries],
                xerr=[entry.error for entry in entries],
                color=colour,
                marker=marker,
                markersize=5,
                elinewidth=0.8,
                linewidth=1.2 if is_curve else 0,
                label=name,
            )
        axes.axvline(0, color="#8c959f", linewidth=0.8)
        axes.axvline(0.5, color="#8c959f", linewidth=0.8, linestyle=":")
        left = sum(-entry.points > MOST_LOST for entry in model.compared)
        beyond = f"; {left} files lose more than {MOST_LOST:.0f}" if left else ""
        axes.set(title=model.name, xlabel=f"points of top-1 accuracy lost{beyond}", ylabel="times smaller, zip -9")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
        path = folder / slug(model.name)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
        plt.close(figure)
