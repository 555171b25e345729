"""What leaves a run: one module for each target, by the name that the setting `store` gives it.

A module defines TARGET, an object with the members of `target.Target`. Nothing else has to be changed to add one.
The chips whose tools take the file are in `chips`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from .target import Target

NAMES: Final = tuple(
    sorted(module.name for module in iter_modules(__path__) if not module.ispkg and module.name != "target")
)


def find_target(name: str) -> Target:
    """The target of one of the NAMES; raises ConfigError if there is none."""
    if name not in NAMES:
        raise ConfigError("<store> must be one of {known}, not {given!r}", known=", ".join(NAMES), given=name)
    target: Target = import_module(f".{name}", __name__).TARGET
    return target
