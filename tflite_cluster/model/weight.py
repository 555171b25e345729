"""What selection finds: weights with all that use them, and the constants that are left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .groups import Groups
from .read import Model, Operator, Tensor
from .storage import Storage
from .verify import Span


@dataclass(frozen=True)
class User:
    """An operator that takes a constant as operand number `operand`; `axis` is that of its output channels."""

    operator: Operator
    operand: int
    axis: int
    needs_learned_values: bool = False
    """Whether the constant is a weight only if its values look learned."""


@dataclass(frozen=True)
class Weight:
    """One stored constant to cluster, with all tensors and operators that use it."""

    span: Span
    tensors: tuple[Tensor, ...]
    users: tuple[User, ...]
    storage: Storage
    count: int
    scale: npt.NDArray[np.float64]
    """Real size of a code, for each group of `scale_groups`; a single 1 for floats."""
    scale_groups: Groups
    zero: int
    """The code that stands for the real value 0."""
    channels: Groups
    """Elements by output channel; a single group where storage does not show the channels (sparse)."""

    @property
    def operators(self) -> frozenset[str]:
        """The names of the operators that use it."""
        return frozenset(user.operator.name for user in self.users)

    @property
    def is_table(self) -> bool:
        """Whether its values are combined with others one by one, with no sum in which errors are averaged."""
        return any(user.needs_learned_values for user in self.users)

    @property
    def tensor(self) -> Tensor:
        """The first tensor that names these bytes."""
        return self.tensors[0]

    def decode(self, raw: memoryview) -> npt.NDArray[Any]:
        """The codes, (count,), that `raw` holds if it is stored as this weight is; see `Storage.decode`."""
        return self.storage.decode(raw, self.count)

    def codes(self, model: Model) -> npt.NDArray[Any]:
        """Its codes in a model, (count,)."""
        return self.decode(model.bytes_of(self.span))


@dataclass(frozen=True)
class LeftAlone:
    """A constant that is not touched, and the reason in words."""

    name: str
    type: str
    shape: tuple[int, ...]
    span: Span
    reason: str
    is_weight_operand: bool = False
    """Whether operators take it as a weight; then its values show that it was not learned."""
