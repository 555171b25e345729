"""Files that hold models: one module for each kind.

A module defines CONTAINER, an object with the members of `bundle.Container`. Nothing else has to be changed to add one.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from ...errors import ModelError

if TYPE_CHECKING:
    from .bundle import Bundle, Container

BEGINNING: Final = 8
"""Bytes by which a bundle is recognised."""

_NAMES: Final = tuple(sorted(module.name for module in iter_modules(__path__) if module.name != "bundle"))


def find_container(beginning: bytes | memoryview) -> Container | None:
    """The kind of bundle that begins like this; None if it is none, or an empty archive."""
    beginning = bytes(beginning[:BEGINNING])
    return next((each for each in _containers() if beginning.startswith(each.starts)), None)


def read_bundle(data: memoryview, label: str) -> Bundle[Any]:
    """Find the entries of a bundle; raises ModelError if it is damaged, or none."""
    container = find_container(data)
    if container is None:
        raise ModelError(
            f"{label}: no bundle of models, by its first bytes: give a .task, .zip, .apk or .litertlm file"
        )
    return container.read(data, label)


def opens_inside(name: str) -> bool:
    """Whether a file of that name is opened where it lies in a bundle, if it is one."""
    return name.lower().endswith(tuple(each.suffix for each in _containers()))


def _containers() -> list[Container]:
    return [import_module(f".{name}", __name__).CONTAINER for name in _NAMES]
