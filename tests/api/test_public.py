"""What the package exports: all that its verbs take, return and raise, loaded when first used."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt
import pytest

import tflite_cluster
from tflite_cluster import Accuracy, Fidelity, errors
from tflite_cluster.errors import InterpreterFailure, InterpreterTimeout, TfliteClusterError

VERBS = [
    "batch",
    "check_limits",
    "cluster",
    "cluster_bundle",
    "compare",
    "diff",
    "hand_off",
    "inspect",
    "load_recipe",
    "pack",
    "settings_for",
    "sweep",
]


class Unpack:
    """Stands for typing.Unpack, which Python 3.10 lacks."""

    def __class_getitem__(cls, item: Any) -> Any:
        return item


NAMES = {"Unpack": Unpack, "Data": Any, "npt": npt, "Accuracy": Accuracy, "Fidelity": Fidelity}
"""What annotations name that is imported for type checkers only."""


def of_this_package(hint: Any) -> Iterator[type]:
    """The classes of this project that a hint names, at any depth of brackets."""
    if isinstance(hint, list | tuple):
        for part in hint:
            yield from of_this_package(part)
    elif isinstance(hint, type) and hint.__module__.split(".")[0] == "tflite_cluster":
        yield hint
    else:
        yield from of_this_package(typing.get_args(hint))


def hints_of(found: type) -> Iterator[Any]:
    """Types of the fields and of the public properties of a class."""
    yield from typing.get_type_hints(found, localns=NAMES).values()
    for name, member in vars(found).items():
        if isinstance(member, property) and not name.startswith("_"):
            yield typing.get_type_hints(member.fget, localns=NAMES)["return"]


def reached_from(function: Callable[..., Any]) -> set[type]:
    """All classes of this project in what a function takes and returns, and in their fields."""
    reached: set[type] = set()
    waiting = [*of_this_package(list(typing.get_type_hints(function, localns=NAMES).values()))]
    while waiting:
        found = waiting.pop()
        if found not in reached:
            reached.add(found)
            waiting += of_this_package(list(hints_of(found)))
    return reached


@pytest.mark.parametrize("verb", VERBS)
def test_all_that_a_verb_takes_and_returns_is_public(verb: str) -> None:
    for found in reached_from(getattr(tflite_cluster, verb)):
        assert getattr(tflite_cluster, found.__name__, None) is found, found


def test_the_walk_goes_to_the_bottom() -> None:
    reached = reached_from(tflite_cluster.cluster)
    assert {tflite_cluster.Settings, tflite_cluster.Rule, tflite_cluster.Accuracy, tflite_cluster.Estimate} <= reached
    no_records = {tflite_cluster.Settings, tflite_cluster.Gates, tflite_cluster.Candidate}
    assert all(dataclasses.is_dataclass(found) for found in reached - no_records)


def test_public_verbs_are_all_that_can_be_called_and_are_no_class() -> None:
    public = {name: getattr(tflite_cluster, name) for name in tflite_cluster.__all__}
    functions = [name for name, value in public.items() if callable(value) and type(value).__name__ == "function"]
    assert sorted(functions) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_all_that_a_verb_raises_is_public(verb: str) -> None:
    said = set(re.findall(r"\b\w+Error\b", getattr(tflite_cluster, verb).__doc__))
    assert said
    for name in said:
        assert issubclass(getattr(tflite_cluster, name), TfliteClusterError)


Line = tuple[tuple[str, ...], int]
"""An error by its parents' names and its own, and its exit code."""


def tree_of(error: type[TfliteClusterError], parents: tuple[str, ...] = ()) -> Iterator[Line]:
    """An error and its children, without those that only one module knows."""
    path = (*parents, error.__name__)
    yield path, error.exit_code
    for child in error.__subclasses__():
        if not child.__name__.startswith("_"):
            yield from tree_of(child, path)


def written_tree(text: str) -> Iterator[Line]:
    path: tuple[str, ...] = ()
    for indent, name, code in re.findall(r"^( *)(\w+) \((\d+)\)", text, re.M):
        path = (*path[: len(indent) // 4], name)
        yield path, int(code)


@pytest.fixture
def tree() -> list[Line]:
    """The tree of the real classes. Loading a module defines its classes."""
    for name in tflite_cluster.__all__:
        getattr(tflite_cluster, name)
    return list(tree_of(TfliteClusterError))


def test_the_tree_of_errors_is_that_of_the_classes(tree: list[Line]) -> None:
    assert sorted(written_tree(errors.__doc__ or "")) == sorted(tree)


def test_every_error_but_those_that_stay_inside_is_public(tree: list[Line]) -> None:
    inside = {InterpreterFailure.__name__, InterpreterTimeout.__name__}
    assert {path[-1] for path, _ in tree} - set(tflite_cluster.__all__) == inside
