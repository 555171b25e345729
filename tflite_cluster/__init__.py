"""Cluster the weights of a converted .tflite model in place, so that it zips several times smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api.batch import Batch, batch
    from .api.batch_task import BatchRecord
    from .api.bundle import BundledModel, BundleResult, cluster_bundle
    from .api.check import Violation, check_limits
    from .api.cluster import cluster
    from .api.compare import Comparison, LayerComparison, compare
    from .api.diff import Difference, Place, TensorDifference, diff
    from .api.handoff import hand_off, settings_for
    from .api.inspect import InspectedConstant, InspectedWeight, Inspection, Total, inspect
    from .api.interfaces import InspectedInput, InspectedOutput, ValueRange
    from .api.pack import Packed, pack
    from .api.sweep import Sweep, SweepPoint, sweep
    from .api.twin import StoredDifference
    from .config import Chosen, Config, Data, Rule, Settings
    from .errors import ConfigError, DataError, ModelError, OutputError, RecipeError, TfliteClusterError
    from .fidelity.accuracy import Accuracy
    from .fidelity.gate import Axis, Candidate, Gate, GateOutcome, Tile
    from .fidelity.gates import Gates
    from .fidelity.verdict import Fidelity, NoiseFloor, OutputFidelity, Score
    from .progress import Plan, Progress
    from .recipe.read import load_recipe
    from .result import (
        Benchmark,
        CodesWritten,
        Estimate,
        FidelityError,
        NotSmallerError,
        Result,
        SizePair,
        Sizes,
        SpanWritten,
        Strategy,
        TensorResult,
        Update,
    )
    from .search.base import Unmatched
    from .search.points import Point, Search
    from .search.quality import Quality
    from .targets.chips.chip import HandedOff, LeftOut


__all__ = [
    "Accuracy",
    "Axis",
    "Batch",
    "BatchRecord",
    "Benchmark",
    "BundleResult",
    "BundledModel",
    "Candidate",
    "Chosen",
    "CodesWritten",
    "Comparison",
    "Config",
    "ConfigError",
    "Data",
    "DataError",
    "Difference",
    "Estimate",
    "Fidelity",
    "FidelityError",
    "Gate",
    "GateOutcome",
    "Gates",
    "HandedOff",
    "InspectedConstant",
    "InspectedInput",
    "InspectedOutput",
    "InspectedWeight",
    "Inspection",
    "LayerComparison",
    "LeftOut",
    "ModelError",
    "NoiseFloor",
    "NotSmallerError",
    "OutputError",
    "OutputFidelity",
    "Packed",
    "Place",
    "Plan",
    "Point",
    "Progress",
    "Quality",
    "RecipeError",
    "Result",
    "Rule",
    "Score",
    "Search",
    "Settings",
    "SizePair",
    "Sizes",
    "SpanWritten",
    "StoredDifference",
    "Strategy",
    "Sweep",
    "SweepPoint",
    "TensorDifference",
    "TensorResult",
    "TfliteClusterError",
    "Tile",
    "Total",
    "Unmatched",
    "Update",
    "ValueRange",
    "Violation",
    "__version__",
    "batch",
    "check_limits",
    "cluster",
    "cluster_bundle",
    "compare",
    "diff",
    "hand_off",
    "inspect",
    "load_recipe",
    "pack",
    "settings_for",
    "sweep",
]

_HOMES = {
    "Batch": "api.batch",
    "batch": "api.batch",
    "BatchRecord": "api.batch_task",
    "BundleResult": "api.bundle",
    "BundledModel": "api.bundle",
    "cluster_bundle": "api.bundle",
    "ValueRange": "api.interfaces",
    "Violation": "api.check",
    "check_limits": "api.check",
    "cluster": "api.cluster",
    "Comparison": "api.compare",
    "LayerComparison": "api.compare",
    "compare": "api.compare",
    "Difference": "api.diff",
    "Place": "api.diff",
    "TensorDifference": "api.diff",
    "diff": "api.diff",
    "hand_off": "api.handoff",
    "settings_for": "api.handoff",
    "InspectedConstant": "api.inspect",
    "InspectedInput": "api.interfaces",
    "InspectedOutput": "api.interfaces",
    "InspectedWeight": "api.inspect",
    "Inspection": "api.inspect",
    "Total": "api.inspect",
    "inspect": "api.inspect",
    "Packed": "api.pack",
    "pack": "api.pack",
    "Sweep": "api.sweep",
    "SweepPoint": "api.sweep",
    "sweep": "api.sweep",
    "Config": "config",
    "Data": "config",
    "Settings": "config",
    "ConfigError": "errors",
    "DataError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "RecipeError": "errors",
    "TfliteClusterError": "errors",
    "Accuracy": "fidelity.accuracy",
    "Gates": "fidelity.gates",
    "Fidelity": "fidelity.verdict",
    "Axis": "fidelity.gate",
    "Candidate": "fidelity.gate",
    "Gate": "fidelity.gate",
    "GateOutcome": "fidelity.gate",
    "Tile": "fidelity.gate",
    "NoiseFloor": "fidelity.verdict",
    "OutputFidelity": "fidelity.verdict",
    "Score": "fidelity.verdict",
    "HandedOff": "targets.chips.chip",
    "LeftOut": "targets.chips.chip",
    "Plan": "progress",
    "Progress": "progress",
    "load_recipe": "recipe.read",
    "Benchmark": "result",
    "CodesWritten": "result",
    "Estimate": "result",
    "FidelityError": "result",
    "NotSmallerError": "result",
    "Result": "result",
    "SizePair": "result",
    "Sizes": "result",
    "SpanWritten": "result",
    "StoredDifference": "api.twin",
    "Strategy": "result",
    "TensorResult": "result",
    "Update": "result",
    "Unmatched": "search.base",
    "Chosen": "config",
    "Rule": "config",
    "Point": "search.points",
    "Search": "search.points",
    "Quality": "search.quality",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used, so that `--help` need not wait for numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
