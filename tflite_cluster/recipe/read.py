"""A recipe read from its file: settings by name, rules for some weights, and what a search chose."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ..config import Chosen, Rule
from ..errors import RecipeError
from .keys import CHOSEN, ITEM_WORDS, ITEMS, PATHS, RULE, SETTINGS, TABLES, WORDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TOO_LARGE: Final = 1 << 63
"""TOML has whole numbers of 64 bits; the parser takes longer ones, which no float holds."""


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe: keyword arguments for `cluster`.

    Paths in it count from its folder. Raises RecipeError, which names the file and the key, if it cannot be read, or
    holds what no recipe can.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, or no name of a file
        raise RecipeError(f"{path}: the recipe cannot be read: {error}") from None
    try:
        return _settings(content, path.parent)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _settings(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    _check(content, {**SETTINGS, **dict.fromkeys(TABLES, (dict,))}, "")
    settings = {key.replace("-", "_"): value for key, value in content.items() if key in SETTINGS}
    for key in PATHS:
        if key in settings and not is_function(settings[key]):
            settings[key] = str(folder / settings[key])
    rules = [
        *(_rule(name, value, by_operator=True) for name, value in content.get("operators", {}).items()),
        *(_rule(name, value, by_operator=False) for name, value in content.get("tensors", {}).items()),
    ]
    if rules:
        settings["rules"] = tuple(rules)
    if "chosen" in content:
        settings["chosen"] = _chosen(content["chosen"])
    return settings


def is_function(data: str) -> bool:
    """Whether data are a function, as module:function, and no path (the drive C:\\ is not a module)."""
    module, colon, name = data.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _rule(name: str, value: object, *, by_operator: bool) -> Rule:
    where = f"{'operators' if by_operator else 'tensors'}.{name!r}"
    if value is False:
        return Rule(name, by_operator, None)
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be false, to leave them alone, or hold clusters, not {value!r}")
    _check(value, RULE, f"{where}: ")
    if "clusters" not in value:
        raise RecipeError(f"{where} says nothing: give clusters, or false to leave them alone")
    if not 2 <= value["clusters"] <= 256:
        raise RecipeError(f"{where}: clusters must be between 2 and 256, not {value['clusters']}")
    return Rule(name, by_operator, value["clusters"])


def _chosen(value: Mapping[str, Any]) -> Chosen:
    _check(value, CHOSEN, "chosen: ")
    missing = CHOSEN.keys() - value.keys()
    if missing:
        raise RecipeError(f"chosen lacks {', '.join(sorted(missing))}: save the recipe anew")
    weights, prices = value["weights"], value["prices"]
    if len(weights) != len(prices) or not all(0 < price < math.inf for price in prices):
        raise RecipeError("chosen: prices must be a positive number for each of the weights")
    return Chosen(value["model"], value["in-order"], dict(zip(weights, prices, strict=True)))


def _check(table: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            raise RecipeError(f"{where}no setting is called {key!r}{_nearest(key, known)}")
        if type(value) not in known[key]:
            wanted = " or ".join(WORDS.get(kind, "a table") for kind in known[key])
            raise RecipeError(f"{where}{key} must be {wanted}, not {value!r}")
        held = value if isinstance(value, list) else [value]
        if any(type(item) is int and abs(item) >= _TOO_LARGE for item in held):
            raise RecipeError(f"{where}{key} holds a number that is too large")
        items = ITEMS.get(key)
        if isinstance(value, list) and items is not None and not all(type(item) in items for item in value):
            raise RecipeError(f"{where}{key} must be a list of {ITEM_WORDS[items]}, not {value!r}")


def _nearest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key.replace("_", "-"), list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(known)}"
