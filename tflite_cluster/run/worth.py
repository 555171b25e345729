"""Whether a clustered model is worth writing: smaller than the original, and by enough for what it changes."""

from __future__ import annotations

from typing import Final

from ..config import Config
from ..fidelity.gates import GATES
from ..result import NotSmallerError, Result
from ..search.criterion import is_clean

_LEAST_RATIO: Final = 1.1
"""Below this, a default run writes only what changes next to nothing. MoveNet int8 became 1.05 times smaller, and 17 %
of its confident keypoints moved, twice as many as under other kernels.
"""


def refuse_what_is_not_worth_it(result: Result) -> None:
    """Raise NotSmallerError where the model would zip no smaller, or where too little is gained for what changes."""
    why = why_not_worth_it(result)
    if why is not None and not result.config.force:
        remedy = "use --force to write it all the same"
        if _is_smaller(result):
            *options, last = ["--max-size", *(gate.option for gate in GATES)]
            remedy += f", or say what is enough: {', '.join(options)} or {last}"
        raise NotSmallerError(f"{result.source}: {why}; no model was written ({remedy})", result)


def why_not_worth_it(result: Result) -> str | None:
    """What speaks against writing the model, in words that can follow a colon; None if nothing does."""
    if not result.spans and result.accelerator is not None:
        target = result.accelerator
        return f"it is compiled for {target}, whose code holds the weights: cluster the model before compiling it"
    if not result.spans:
        return "no weight was changed, so it would not zip smaller"
    if result.sizes is None:
        return None
    if not _is_smaller(result):
        return "it would not zip smaller"
    ratio = result.sizes.zip9.ratio
    if ratio >= _LEAST_RATIO or not _is_default(result.config) or _is_clean(result):
        return None
    return f"it would zip only {ratio:.3f} times smaller, and {_what_changes(result)}"


def _is_smaller(result: Result) -> bool:
    return bool(result.spans) and result.sizes is not None and result.sizes.zip9.after < result.sizes.zip9.before


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
    if quality.expected_loss is not None:
        return f"it would be expected to lose {quality.expected_loss:.2f} points of accuracy"
    return f"its outputs would keep only {quality.held_out_sqnr:.1f} dB"
