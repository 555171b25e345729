"""The keys of a recipe and their types; schema/recipe.schema.json says the same, and a test holds the two together."""

from __future__ import annotations

from typing import Final

from ..fidelity.gates import GATES

NUMBER: Final = (int, float)
SETTINGS: Final[dict[str, tuple[type, ...]]] = {
    "clusters": (int,),
    "granularity": (str,),
    "store": (str,),
    "target": (str,),
    "keep": (list,),
    "data": (str,),
    "labels": (str,),
    "mean": (*NUMBER, list),
    "std": (*NUMBER, list),
    "normalize": (str,),
    "metric": (str,),
    "check": (bool,),
    "run": (bool,),
    "max-size": (str, int),
    "coder": (str,),
    **{gate.name: NUMBER for gate in GATES},
    "confidence": NUMBER,
    "effort": (str,),
    "base": (str,),
    "seed": (int,),
}
"""Settings that decide what the new file holds, by the names of their options."""

TABLES: Final = ("operators", "tensors", "chosen")
CHOSEN: Final[dict[str, tuple[type, ...]]] = {
    "model": (str,),
    "in-order": (bool,),
    "weights": (list,),
    "prices": (list,),
}
RULE: Final[dict[str, tuple[type, ...]]] = {"clusters": (int,)}
PATHS: Final = ("data", "labels", "base")
ITEMS: Final[dict[str, tuple[type, ...]]] = {
    "keep": (str,),
    "mean": NUMBER,
    "std": NUMBER,
    "weights": (int,),
    "prices": NUMBER,
}
"""What lists hold."""

WORDS: Final = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}
ITEM_WORDS: Final = {(str,): "texts", (int,): "whole numbers", NUMBER: "numbers"}
