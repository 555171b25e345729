"""The curve of size against fidelity as a picture in a file of its own."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..api.sweep import Sweep, SweepPoint
from ..errors import ConfigError
from ..files import write_bytes
from .names import printable

_FORMATS: Final = (".svg", ".png")

_MEASURES: Final = {"drop": "top-1 points lost", "expected_loss": "expected loss, points", "sqnr": "SQNR in dB"}
"""What a panel each shows, by the field of `Quality`, where it is known."""

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tflite-cluster",
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "savefig.dpi": 150,
}


def require_plot(path: Path) -> None:
    """Raise ConfigError if a picture of this name cannot be drawn."""
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(
            "{path}: end the name of the picture with {formats}",
            path=path,
            formats=" or ".join(_FORMATS),
        )


def write_plot(sweep: Sweep, path: Path) -> None:
    """Draw what each size costs; raises OutputError if the file cannot be written."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = {name: points for name in _MEASURES if (points := _drawable(sweep.points, name))}
    picture = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure((7, 1 + 2.2 * len(panels)), layout="constrained")
        rows = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, points) in zip(rows, panels.items(), strict=False):
            _draw(axes, points, name)
        rows[-1].set_xlabel("times smaller, after zip -9")
        figure.suptitle(f"{printable(sweep.source, 40)}, measured on {printable(sweep.basis, 40)}", fontsize="medium")
        handles, labels = rows[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
        date = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(picture, format=path.suffix[1:].lower(), metadata=date)
    write_bytes(path, picture.getvalue())


def _drawable(points: Sequence[SweepPoint], name: str) -> list[SweepPoint]:
    values = ((point, getattr(point.quality, name)) for point in points)
    return [point for point, value in values if value is not None and math.isfinite(value)]


def _draw(axes: Any, points: Sequence[SweepPoint], name: str) -> None:
    ratios, values = [point.ratio for point in points], [getattr(point.quality, name) for point in points]
    axes.plot(ratios, values, "o-", color="#0969da", linewidth=1, label="measured")
    chosen = [place for place, point in enumerate(points) if point.is_default]
    ring = {"markersize": 14, "markerfacecolor": "none", "markeredgecolor": "#bc4c00", "markeredgewidth": 2}
    axes.plot([ratios[place] for place in chosen], [values[place] for place in chosen], "o", label="default", **ring)
    axes.margins(0.08)
    axes.set_ylabel(_MEASURES[name])
