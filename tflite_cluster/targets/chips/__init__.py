"""Chips whose own tools take a clustered model: one module each, by the name that the option `--target` gives it.

The name is that of the module, with - for _. A module defines CHIP, an object with the members of `chip.Chip`. Nothing
else has to be changed to add one. `tools` holds what several chips call, and what runs in a process of its own.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from ...errors import ConfigError

if TYPE_CHECKING:
    from .chip import Chip

NAMES: Final = tuple(
    sorted(
        module.name.replace("_", "-") for module in iter_modules(__path__) if not module.ispkg and module.name != "chip"
    )
)


def find_chip(name: str) -> Chip:
    """The chip of one of the NAMES; raises ConfigError if there is none."""
    if name not in NAMES:
        raise ConfigError("<target> must be one of {known}, not {given!r}", known=", ".join(NAMES), given=name)
    chip: Chip = import_module(f".{name.replace('-', '_')}", __name__).CHIP
    return chip
