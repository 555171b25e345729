"""Cluster the weights of a converted .tflite model in place, so that it zips several times smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import cluster
    from .comparison import Comparison, compare
    from .config import Config
    from .difference import Difference, diff
    from .errors import (
        ConfigError,
        DataError,
        FidelityError,
        ModelError,
        NotSmallerError,
        OutputError,
        RecipeError,
        TfliteClusterError,
    )
    from .inspection import Inspection, inspect
    from .limits import Violation, check_limits
    from .recipe.read import load_recipe
    from .result import Result
    from .sweeping import Sweep, sweep

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
    "cluster": "api",
    "Config": "config",
    "Comparison": "comparison",
    "compare": "comparison",
    "Difference": "difference",
    "Inspection": "inspection",
    "Result": "result",
    "Sweep": "sweeping",
    "Violation": "limits",
    "check_limits": "limits",
    "diff": "difference",
    "inspect": "inspection",
    "load_recipe": "recipe.read",
    "sweep": "sweeping",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used, so that `--help` need not wait for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
