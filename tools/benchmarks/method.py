"""What is measured: tools, each with the ways in which it can be used on a model.

A tool is a module in `methods/` that defines `TOOL`; it is found there, and nothing else has to know of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import methods
from .subjects import Subject


@dataclass(frozen=True)
class Method:
    """One way to use a tool.

    name: what tables call it. settings: what the tool is told, as JSON can hold it. uses_data: whether it sees the
    samples for calibration. float_only: whether it takes no model whose weights are integers. source: a model that
    was made elsewhere, for methods that do not make any.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    uses_data: bool = False
    float_only: bool = False
    source: Path | None = None


@dataclass(frozen=True)
class Job:
    """What a method is to do: make `output` of `model`. data: samples x, or None if it is to see none."""

    model: Path
    data: Path | None
    output: Path
    settings: Mapping[str, Any]
    source: Path | None = None


@dataclass(frozen=True)
class Tool:
    """A tool: its methods for a model, what runs one of them, and what tells its version.

    order: where its rows stand among those of other tools. run: writes the job's output, or raises.
    """

    name: str
    order: int
    methods: Callable[[Subject], tuple[Method, ...]]
    run: Callable[[Job], None]
    version: Callable[[], str]


def version_of(*distributions: str) -> Callable[[], str]:
    """Gives the versions of installed distributions; "not installed" where one is missing."""

    def versions() -> str:
        try:
            return ", ".join(f"{name} {version(name)}" for name in distributions)
        except PackageNotFoundError:
            return "not installed"

    return versions


def tools() -> dict[str, Tool]:
    """All tools by name, in the order of their rows."""
    modules = (
        importlib.import_module(f"{methods.__name__}.{each.name}") for each in pkgutil.iter_modules(methods.__path__)
    )
    found = sorted((module.TOOL for module in modules), key=lambda tool: tool.order)
    return {tool.name: tool for tool in found}


def wanted(subject: Subject, patterns: tuple[str, ...]) -> Iterator[tuple[Tool, Method]]:
    """The methods whose "tool/method" fits one of the patterns and one of the subject's own."""
    for tool in tools().values():
        for method in tool.methods(subject):
            name = f"{tool.name}/{method.name}"
            if method.float_only and not subject.is_float:
                continue
            if all(any(fnmatchcase(name, each) for each in several) for several in (patterns, subject.methods)):
                yield tool, method
