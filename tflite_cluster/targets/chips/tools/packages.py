"""A chip's own tools: Python packages that may be absent."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str | None:
    """The version of a package as installed; None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
