"""A finished run written down as a recipe that repeats it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tomli_w

from ..config import Config
from ..errors import ConfigError
from ..files import sha256, write_text
from ..result import Result
from .keys import PATHS, SETTINGS
from .read import is_function

_HEAD = "# Made by tflite-cluster --save-recipe. To repeat the run: tflite-cluster IN OUT --recipe THIS_FILE\n\n"


def save_recipe(result: Result, source: Path, path: Path) -> None:
    """Write the settings of a run, and what its search chose; raises OutputError if that cannot be done."""
    content: dict[str, Any] = _settings(result.config, path.parent)
    for table, by_operator in (("operators", True), ("tensors", False)):
        rules = [rule for rule in result.config.rules if rule.by_operator is by_operator]
        if rules:
            content[table] = {
                rule.pattern: False if rule.clusters is None else {"clusters": rule.clusters} for rule in rules
            }
    search = result.strategy.search
    if search is not None and search.chosen is not None:
        content["chosen"] = {
            "model": sha256(source),
            "in-order": search.chosen.in_order,
            "weights": list(search.prices),
            "prices": list(search.prices.values()),
        }
    write_text(path, _HEAD + tomli_w.dumps(content))


def _settings(config: Config, folder: Path) -> dict[str, Any]:
    """All settings that are not the default; paths as seen from the recipe's folder."""
    settings: dict[str, Any] = {}
    for key in SETTINGS:
        value = getattr(config, name := key.replace("-", "_"))
        if value == getattr(Config, name):
            continue
        if not isinstance(value, str | int | float | Path | list | tuple):
            raise ConfigError(f"a recipe cannot hold {name} that were given as objects: give a path or module:function")
        value = list(value) if isinstance(value, tuple) else value
        settings[key] = str(value) if isinstance(value, Path) else value
        if key in PATHS and not is_function(settings[key]):
            settings[key] = _seen_from(folder, settings[key])
    return settings


def _seen_from(folder: Path, path: str) -> str:
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return str(Path(path).absolute())
