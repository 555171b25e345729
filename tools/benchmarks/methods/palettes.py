"""Palettisation as coremltools does it: a table of 2^bits values for each tensor, or for each group of channels.

By the source of coremltools 9.0 (optimize/coreml and models/neural_network/quantization_utils.py): k-means with
k-means++ and a tolerance of 0.01 on float32 weights, of tensors with more than 2,048 elements, by default; 32 channels
to a group. Core ML packages store indices and tables, which `.tflite` files cannot, so that the values are patched in
place here: its own file would be shorter, and its zip would weigh about the entropy of the indices.
"""

from __future__ import annotations

import numpy as np

from tflite_cluster.model.weight import Weight

from ..method import Job, Method, Tool, version_of
from ..weights import Reals, patch
from .k_means import clustered

_TOLERANCE, _LEAST_ELEMENTS, _GROUP = 1e-2, 2048, 32

_METHODS = tuple(
    Method(
        f"{bits} bits, {'per tensor' if group is None else f'groups of {group} channels'}", settings, float_only=True
    )
    for bits in (4, 6, 8)
    for group in (None, _GROUP)
    for settings in ({"bits": bits, "group": group},)
)


def run(job: Job) -> None:
    """Cluster the large tensors, and patch them in place."""
    values, group = 2 ** job.settings["bits"], job.settings["group"]

    def change(_: Weight, rows: Reals) -> Reals | None:
        if rows.size <= _LEAST_ELEMENTS:
            return None
        parts = [rows] if group is None else [rows[start : start + group] for start in range(0, len(rows), group)]
        return np.concatenate([clustered(part, values, tol=_TOLERANCE) for part in parts])

    patch(job.model, job.output, change)


TOOL = Tool("palettes (coremltools' way)", 4, lambda _: _METHODS, run, version_of("scikit-learn"))
