"""Whether a clustered model is worth writing: smaller than the original, and by enough for what it changes."""

from __future__ import annotations

from typing import Final

from .config import Config
from .errors import NotSmallerError
from .result import Result
from .search.criterion import is_clean

_LEAST_RATIO: Final = 1.1
"""Below this, a default run writes only what changes next to nothing. MoveNet int8 became 1.05 times smaller, and 17 %
of its confident keypoints moved, twice as many as under other kernels.
"""


def refuse_what_is_not_worth_it(result: Result) -> None:
    """Raise NotSmallerError where the model would zip no smaller, or where too little is gained for what changes."""
    if result.config.force:
        return
    ratio = result.sizes.zip9.ratio if result.sizes is not None else None
    if not result.spans:
        why = "no weight was changed, so it would not zip smaller"
    elif ratio is not None and ratio <= 1:
        why = "it would not zip smaller"
    elif ratio is not None and ratio < _LEAST_RATIO and _is_default(result.config) and not _is_clean(result):
        raise NotSmallerError(
            f"{result.source}: it would zip only {ratio:.3f} times smaller, and {_what_changes(result)}; no model was"
            " written (use --force to write it all the same, or say what is enough: --max-size, --min-sqnr,"
            " --min-agreement or --max-drop)",
            result,
        )
    else:
        return
    raise NotSmallerError(
        f"{result.source}: {why}; no model was written (use --force to write it all the same)", result
    )


def _is_default(config: Config) -> bool:
    """Whether the tool alone decides how far to go, by what the model computes."""
    fixed = config.clusters is not None or any(rule.clusters is not None for rule in config.rules)
    return config.check and not (fixed or config.has_gates or config.max_size is not None or config.chosen is not None)


def _is_clean(result: Result) -> bool:
    """Whether a search has shown that next to nothing changes."""
    search = result.strategy.search
    return search is not None and search.chosen is not None and is_clean(search.chosen.quality)


def _what_changes(result: Result) -> str:
    search = result.strategy.search
    if search is None or search.chosen is None:
        return "how far its outputs change was not measured"
    quality = search.chosen.quality
    if quality.risk is not None:
        return f"it would be expected to lose {quality.risk:.2f} points of accuracy"
    return f"its outputs would keep only {quality.contrast:.1f} dB"
