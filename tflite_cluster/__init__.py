"""Cluster the weights of a converted .tflite model in place, so that it zips several times smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.check import Violation, check_limits
    from .api.cluster import cluster
    from .api.compare import Comparison, compare
    from .api.diff import Difference, diff
    from .api.inspect import Inspection, inspect
    from .api.sweep import Sweep, sweep
    from .config import Config
    from .errors import (
        ConfigError,
        DataError,
        ModelError,
        OutputError,
        RecipeError,
        TfliteClusterError,
    )
    from .recipe.read import load_recipe
    from .result import FidelityError, NotSmallerError, Result

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "Difference",
    "FidelityError",
    "Inspection",
    "ModelError",
    "NotSmallerError",
    "OutputError",
    "RecipeError",
    "Result",
    "Sweep",
    "TfliteClusterError",
    "Violation",
    "__version__",
    "check_limits",
    "cluster",
    "compare",
    "diff",
    "inspect",
    "load_recipe",
    "sweep",
]

_HOMES = {
    "Comparison": "api.compare",
    "Config": "config",
    "Difference": "api.diff",
    "FidelityError": "result",
    "Inspection": "api.inspect",
    "NotSmallerError": "result",
    "Result": "result",
    "Sweep": "api.sweep",
    "Violation": "api.check",
    "check_limits": "api.check",
    "cluster": "api.cluster",
    "compare": "api.compare",
    "diff": "api.diff",
    "inspect": "api.inspect",
    "load_recipe": "recipe.read",
    "sweep": "api.sweep",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used, so that `--help` need not wait for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
