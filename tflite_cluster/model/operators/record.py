"""All that the project knows of one operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..layer import Layer
from ..read import Model, Operator
from .gradient import Gradient

if TYPE_CHECKING:
    from ..weight import User, Weight


@dataclass(frozen=True)
class BiasOperand:
    """The operand that an operator adds to what it multiplies."""

    operand: int
    is_per_row: bool = True
    """Whether each row of a layer's matrix has one element of it, so that it can make up for the row's mean error."""
    needs_type_of_weight: bool = True
    """Whether XNNPACK leaves the operator to slower kernels where weight and bias are unpacked from other types."""


@dataclass(frozen=True)
class Cell:
    """One direction of a recurrent operator: the operands that multiply its input, and those that multiply its output
    of the step before.
    """

    from_input: range
    from_output: range = range(0)


@dataclass(frozen=True)
class Lookup:
    """How an operator reads slices of a table."""

    table: int
    """The operand."""
    indices: int | None = None
    """The operand that counts the slices; None where that is not known."""
    axis: Callable[[Any], int] = field(default=lambda _: 0)
    """The axis of the slices, from the operator's options, which may be None."""


@dataclass(frozen=True)
class OperatorRecord:
    """What is known of an operator, by its name; what is left out does not hold for it."""

    name: str
    options: type[Any] | None = None
    """The class of its table of options; None if they say nothing that is needed here."""
    weights: Mapping[int, int] = field(default_factory=dict)
    """Weight operand -> axis of the output channels."""
    weights_of: Callable[[Operator, Any], Mapping[int, int]] | None = None
    """The same for an operator whose options or number of operands make a difference."""
    needs_learned_values: bool = False
    """Whether a constant is a weight only if its values look learned: masks and grids are operands of the kind too."""
    layer: Callable[[Model, Weight, User, Any], Layer | None] | None = None
    """How a weight multiplies an input or output that can be observed; the builder gets the operator's options."""
    bias: BiasOperand | None = None
    places: int | None = None
    """The operand each of whose places is multiplied by the whole matrix; None if that is the output."""
    cells: tuple[Cell, ...] = ()
    """The directions of a recurrent operator."""
    keeps_state: bool = False
    """Whether one run can change the next."""
    lookup: Lookup | None = None
    int8_obstacle: Callable[[Any, int], str | None] | None = None
    """Why a weight in some operand is not to be unpacked from int8, from the options, in words; None if it can."""
    passes_weights: bool = False
    """Whether its output is its constant input in another representation."""
    keeps_values: bool = False
    """Whether its output holds values of its first operand and no others."""
    keeps_order: bool = False
    """Whether its output holds all elements of its first operand, in the same order."""
    gradient: Gradient | None = None
    accelerator: str | None = None
    """What runs a custom operator that a compiler made; weights stand in its code, in an order of their own."""
