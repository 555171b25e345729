"""The last release of a model, and its weights matched with those of the new model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..clustering.histogram import distinct
from ..clustering.prior import Prior
from ..errors import ConfigError, ModelError
from ..model.analysis import Analysis, analyse
from ..model.groups import Groups
from ..model.layers import as_rows, row_scale
from ..model.read import Model, open_model
from ..model.storing.store import SUFFIXES
from ..model.verify import Span
from ..model.weight import Weight

_MOST_VALUES: Final = 1024
"""A weight with more distinct values than this was not clustered, and its values are not worth keeping."""

_OTHER_TYPE: Final = "it is stored as"


@dataclass(frozen=True)
class Unmatched:
    """A weight of the new model that none of the last release matches, and the reason in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Base:
    """The last release. weights: its weights, by the places of the weights of the new model that they match."""

    model: Model
    weights: Mapping[Span, Weight]
    unmatched: tuple[Unmatched, ...]

    def prior(self, weight: Weight, rows: Groups) -> Prior | None:
        """What a weight of the new model is kept close to; None if nothing matches. rows: those of its matrix."""
        earlier = self.weights.get(weight.span)
        if earlier is None:
            return None
        codes = as_rows(earlier.codes(self.model), rows).astype(np.float32) - weight.zero
        return Prior(codes, earlier.storage.is_float, row_scale(earlier, rows))


def open_base(new: Analysis, path: Path, *, stores_codes: bool) -> Base:
    """Match the weights of the last release, at this path, with those of the new model.

    Weights match if they have the same name, or else the same place among the operators, and also the same shape and
    type. stores_codes: whether float weights become integer codes. These match integer codes only. Raises ModelError if
    there is no model at the path, ConfigError if no weight of it matches.
    """
    try:
        analysis = analyse(open_model(path))
    except ModelError as error:
        raise ModelError(f"{error}; a base is the .tflite file of the last release") from error
    found = _Finder.of(analysis.weights)
    weights, unmatched = {}, []
    for weight in new.weights:
        earlier = found.like(weight)
        becomes_codes = stores_codes and new.int8_obstacle(weight) is None
        types = tuple(SUFFIXES) if becomes_codes else (weight.storage.type,)
        reason = _mismatch(analysis.model, weight, earlier, types)
        if reason is None and earlier is not None:
            weights[weight.span] = earlier
        else:
            unmatched.append(Unmatched(weight.tensor.name, reason or ""))
    if not weights:
        reasons = Counter(each.reason for each in unmatched).most_common(1)
        reason = reasons[0][0] if reasons else "the new model has none"
        remedy = ", with the <store> that it was made with" if reason.startswith(_OTHER_TYPE) else ""
        raise ConfigError(
            "<base> {base} shares no weight with {new} ({reason}): give the file of the last release of it"
            f"{remedy}, or leave out <base>",
            base=path,
            new=new.model.label,
            reason=reason,
        )
    return Base(analysis.model, weights, tuple(unmatched))


@dataclass(frozen=True)
class _Finder:
    """Weights by their names, where those are of one weight only, and by their places among the operators."""

    by_name: Mapping[str, Weight]
    by_place: Mapping[tuple[Any, ...], Weight]

    @classmethod
    def of(cls, weights: Sequence[Weight]) -> _Finder:
        counts = Counter(weight.tensor.name for weight in weights)
        by_name = {weight.tensor.name: weight for weight in weights if counts[weight.tensor.name] == 1}
        return cls(by_name, {place: weight for weight in weights for place in _places(weight)})

    def like(self, weight: Weight) -> Weight | None:
        """The weight of the same name, or its codes, or else the weight in the same place."""
        names = (weight.tensor.name + suffix for suffix in ("", *SUFFIXES.values()))
        found = (*map(self.by_name.get, names), *map(self.by_place.get, _places(weight)))
        return next((each for each in found if each is not None), None)


def _places(weight: Weight) -> list[tuple[Any, ...]]:
    return [(use.operator.subgraph, use.operator.index, use.operator.name, use.operand) for use in weight.users]


def _mismatch(base: Model, weight: Weight, earlier: Weight | None, wanted: Collection[str]) -> str | None:
    """Why a weight does not match an earlier one, in words; None if it does."""
    if earlier is None:
        return "no weight has its name or its place"
    if earlier.tensor.shape != weight.tensor.shape or earlier.count != weight.count:
        return "the shape differs"
    if earlier.storage.type not in wanted:
        return f"{_OTHER_TYPE} {earlier.storage.type} there"
    codes: npt.NDArray[Any] = earlier.codes(base)
    if earlier.storage.is_float and not np.isfinite(codes).all():
        return "it holds values there that are not finite"
    if distinct(codes) > _MOST_VALUES:
        return "it is not clustered there"
    return None
