"""An inspection for programs, in the form that schema/inspection.schema.json describes."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..api.inspect import Inspection
from ..version import __version__

FORMAT_VERSION = 1


def to_json(inspection: Inspection) -> dict[str, Any]:
    """The inspection as JSON types; `null` stands for what was not measured or does not apply."""
    return {
        "format": FORMAT_VERSION,
        "tool": f"tflite-cluster {__version__}",
        "source": inspection.source,
        "file_bytes": inspection.file_bytes,
        "zip_bytes": inspection.zip_bytes,
        "sizes": dict(inspection.sizes),
        "inputs": [_listed(dataclasses.asdict(each)) for each in inspection.inputs],
        "outputs": [_listed(dataclasses.asdict(each)) for each in inspection.outputs],
        "already_clustered": inspection.already_clustered,
        "most_values": inspection.most_values,
        "by_operator": [dataclasses.asdict(total) for total in inspection.by_operator],
        "by_type": [dataclasses.asdict(total) for total in inspection.by_type],
        "weights": [_listed(dataclasses.asdict(weight)) for weight in inspection.weights],
        "constants": [_listed(dataclasses.asdict(constant)) for constant in inspection.constants],
    }


def _listed(fields: dict[str, Any]) -> dict[str, Any]:
    """With the shape as JSON has it, a list."""
    return {**fields, "shape": list(fields["shape"])}
