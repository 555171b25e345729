"""What a chip's own tools make of a clustered model: one module for each target, by the name of the option `--target`.

A module defines HANDOFF, an object with the members of `handoff.HandOff`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from .handoff import HandOff

_MODULES: Final = {"ethos-u": "ethos_u", "tflm": "tflm"}
NAMES: Final = tuple(_MODULES)


def find_handoff(name: str) -> HandOff:
    """The hand-off of one of the NAMES; raises ConfigError if there is none."""
    if name not in _MODULES:
        raise ConfigError("<target> must be one of {known}, not {given!r}", known=", ".join(NAMES), given=name)
    handoff: HandOff = import_module(f".{_MODULES[name]}", __name__).HANDOFF
    return handoff
