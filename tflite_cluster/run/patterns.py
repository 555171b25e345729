"""Patterns and rules of the settings that name weights: each has to fit at least one."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..config import Config, Rule
from ..errors import ConfigError
from ..model.weight import Weight


def refuse_unfit(weights: Sequence[Weight], config: Config, where: str) -> None:
    """Raise ConfigError for a pattern or a rule that fits none of the weights. where: what holds them, in words."""
    for rule in config.rules:
        if not _fits_one(rule, weights):
            what = "operator" if rule.by_operator else "name"
            raise ConfigError(
                "recipe: {what} {pattern!r} fits no weight of {where}: inspect a model to see its weights",
                what=what,
                pattern=rule.pattern,
                where=where,
            )
    for pattern in config.keep:
        if not _keeps_one(pattern, weights):
            raise ConfigError(
                "<keep>: {pattern!r} fits no weight of {where}: inspect a model to see its weights",
                pattern=pattern,
                where=where,
            )


def without_unfit(weights: Sequence[Weight], config: Config) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
    """The patterns and the rules that fit one of the weights."""
    keep = tuple(pattern for pattern in config.keep if _keeps_one(pattern, weights))
    return keep, tuple(rule for rule in config.rules if _fits_one(rule, weights))


def _keeps_one(pattern: str, weights: Sequence[Weight]) -> bool:
    return any(fnmatchcase(weight.tensor.name, pattern) for weight in weights)


def _fits_one(rule: Rule, weights: Sequence[Weight]) -> bool:
    return any(rule.fits(weight.tensor.name, weight.operators) for weight in weights)
