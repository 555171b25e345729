"""Draw docs/picture.svg: the weights of a layer of the digits model before and after, and the file zipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tflite_cluster import cluster
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import Model, open_model

ROOT = Path(__file__).resolve().parent.parent
LAYER = "dense"
BINS = 96
PANEL_WIDTH, PANEL_HEIGHT, BASE = 340, 120, 170
STYLE = """
text { font: 18px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #0969da }
.size { fill: #8250df }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #58a6ff } .size { fill: #bc8cff } }
"""


def layer_weights(model: Model) -> npt.NDArray[np.float32]:
    """The weights of the first layer whose name holds LAYER."""
    weight = next(weight for weight in analyse(model).weights if LAYER in weight.tensor.name)
    return weight.codes(model)


def histogram(weights: npt.NDArray[np.float32], limit: float, left: int) -> list[str]:
    """Bars of a histogram from -limit to limit, the highest as high as the panel."""
    counts, _ = np.histogram(weights, BINS, (-limit, limit))
    width = PANEL_WIDTH / BINS
    heights = PANEL_HEIGHT * np.sqrt(counts / counts.max())
    return [
        f'<rect class="bar" x="{left + i * width:.1f}" y="{BASE - height:.1f}" width="{width - 0.4:.1f}" '
        f'height="{height:.1f}"/>'
        for i, height in enumerate(heights)
        if height
    ]


def panel(title: str, weights: npt.NDArray[np.float32], zipped: int, full: int, left: int) -> list[str]:
    """One half of the picture: histogram, and a bar as long as the zipped file is large."""
    limit = float(np.quantile(np.abs(weights), 0.9999))
    values = len(np.unique(weights))
    return [
        f'<text class="title" x="{left}" y="24">{title}</text>',
        f'<text x="{left}" y="44">{values:,} distinct weights in this layer</text>',
        *histogram(weights, limit, left),
        f'<rect class="size" x="{left}" y="186" width="{PANEL_WIDTH * zipped / full:.0f}" height="16" rx="3"/>',
        f'<text x="{left}" y="222">{zipped / 1000:.0f} kB zipped</text>',
    ]


def main() -> None:
    source = ROOT / "examples" / "digits.tflite"
    result = cluster(source)
    assert result.model is not None
    assert result.sizes is not None
    before, after = result.sizes.zip9.before, result.sizes.zip9.after
    parts = [
        *panel("digits.tflite", layer_weights(open_model(source)), before, before, 20),
        *panel("digits-clustered.tflite", layer_weights(open_model(result.model)), after, before, 420),
    ]
    body = "\n".join(parts)
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 236" role="img">\n'
        f"<title>Weights before and after clustering: zipped {before / after:.1f} times smaller</title>\n"
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )
    (ROOT / "docs" / "picture.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
