"""Samples that a function of the user's yields."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, DataError
from .prepared import GivenLabels, Prepared

_NAME: Final = re.compile(r"[A-Za-z_][\w.]+:[A-Za-z_][\w.]*")
_MOST_BYTES: Final = 2 << 30

UserFunction = Callable[..., Any]


def is_function_name(text: str) -> bool:
    """Whether the text is like `module:function`, and no file of that name exists."""
    return _NAME.fullmatch(text) is not None and not os.path.exists(text)  # noqa: PTH110  (a name may be too long)


def find_function(name: str, setting: str) -> UserFunction:
    """The function `module:function`, with the working directory searched last; raises ConfigError."""
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # for good, since a function may import more when it is called
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        raise ConfigError(
            f"<{setting}>: {{name}} cannot be imported: {{error}}", name=name, error=f"{type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ConfigError(f"<{setting}>: {{name}} is not a function", name=name)
    function: UserFunction = found
    return function


def samples_from(function: Callable[[], Iterable[Any]], where: str) -> Prepared:
    """All that a function yields: an array for each sample, or a mapping with one for each input name; or a pair of
    that and the label. Raises DataError, which names the function and the sample.
    """
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    labels: list[int] = []
    size = count = 0
    try:
        for item in function():
            sample, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
            arrays = sample if isinstance(sample, Mapping) else {"": sample}
            for name, value in arrays.items():
                columns.setdefault(str(name), []).append(np.asarray(value))
                size += columns[str(name)][-1].nbytes
            if label is not None:
                labels.append(_class_number(label))
            count += 1
            if size > _MOST_BYTES:
                raise DataError(f"{where}: more than 2 GB of samples; a few hundred are plenty")
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # the function may raise anything
        raise DataError(f"{where}: at sample {count} (counted from 0): {type(error).__name__}: {error}") from error
    stacked = {name: _stack(values, where, name) for name, values in columns.items()}
    counts = {len(values) for values in columns.values()}
    if len(counts) != 1:
        raise DataError(f"{where}: " + ("not every sample has the same inputs" if counts else "it yields no samples"))
    if labels and len(labels) != min(counts):
        raise DataError(f"{where}: {len(labels)} of {min(counts)} samples have a label; give all of them one, or none")
    return Prepared(stacked, GivenLabels(np.array(labels, np.int64), where) if labels else None, where)


def _class_number(label: Any) -> int:
    number = np.asarray(label).item()
    if number != int(number) or abs(number) >= 1 << 63:
        raise ValueError(f"the label {label} is not the number of a class")
    return int(number)


def _stack(values: list[npt.NDArray[Any]], where: str, name: str) -> npt.NDArray[Any]:
    for number, value in enumerate(values):
        if value.shape != values[0].shape or value.dtype != values[0].dtype:
            what = f"input {name!r} of sample {number}" if name else f"sample {number}"
            raise DataError(
                f"{where}: {what} (counted from 0) is {value.dtype} of shape {list(value.shape)}, where the first is "
                f"{values[0].dtype} of shape {list(values[0].shape)}; all samples must be alike"
            )
    return np.stack(values)
