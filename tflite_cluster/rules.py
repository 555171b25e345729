"""What a recipe says beyond settings: rules for some of the weights, and the prices that a search chose."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Rule:
    """For weights of an operator, or of tensors by the pattern of their name: most values, or None to leave them."""

    pattern: str
    by_operator: bool
    clusters: int | None

    def fits(self, name: str, operators: Collection[str]) -> bool:
        """Whether it is about a weight of that name, used by those operators."""
        return self.pattern in operators if self.by_operator else fnmatchcase(name, self.pattern)


def find_rule(rules: Sequence[Rule], name: str, operators: Collection[str]) -> Rule | None:
    """The rule for a weight: one by name goes before one by operator, a later one before an earlier one."""
    fitting = [rule for rule in rules if rule.fits(name, operators)]
    return max(fitting, key=lambda rule: (not rule.by_operator, rules.index(rule)), default=None)


@dataclass(frozen=True)
class Chosen:
    """What a search chose for one model, of that SHA-256: the price of a bit in each weight, by its number, and whether
    layers were clustered in the order in which they are run.
    """

    model: str
    in_order: bool
    prices: dict[int, float]
