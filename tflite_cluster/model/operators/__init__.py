"""What the project knows of each TFLite operator: one record each, in a module for each family.

To add an operator is to add a record to its family, and a fixture to the tests. A family is a module with RECORDS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import tflite

from ..read import Model, Operator
from . import convolutions, custom, elementwise, lookups, pools, products, recurrent, shapes
from .record import OperatorRecord


def _by_name(*families: Iterable[OperatorRecord]) -> Mapping[str, OperatorRecord]:
    return {record.name: record for family in families for record in family}


BUILTIN: Final = _by_name(
    convolutions.RECORDS,
    elementwise.RECORDS,
    lookups.RECORDS,
    pools.RECORDS,
    products.RECORDS,
    recurrent.RECORDS,
    shapes.RECORDS,
)
"""Builtin operators by name."""

CUSTOM: Final = _by_name(custom.RECORDS)
"""Custom operators by name."""

UNKNOWN: Final = OperatorRecord("")
"""The record of all operators that are not known."""


def record_of(operator: Operator) -> OperatorRecord:
    """What is known of an operator; UNKNOWN if that is nothing."""
    return (CUSTOM if operator.is_custom else BUILTIN).get(operator.name, UNKNOWN)


def options_of(operator: Operator) -> Any:
    """The table of an operator's options, of the class in its record; None if it has none, or another's."""
    reader = record_of(operator).options
    table = None if reader is None else operator.table.BuiltinOptions()
    if reader is None or table is None:
        return None
    if operator.table.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, reader.__name__):
        return None
    options = reader()
    options.Init(table.Bytes, table.Pos)
    return options


def weight_axis(operator: Operator, operand: int) -> int | None:
    """Axis of the output channels if this operand is a weight, else None."""
    record = record_of(operator)
    weights = record.weights if record.weights_of is None else record.weights_of(operator, options_of(operator))
    return weights.get(operand)


def other_role(operator: Operator, operand: int) -> str:
    """What an operand is that is no weight, in words."""
    record = record_of(operator)
    if record.accelerator is not None:
        return f"it belongs to a part compiled for {record.accelerator}: cluster the model before compiling"
    if operator.is_custom and record is UNKNOWN:
        return f"custom operator {operator.name} reads it, and that operator's operands are not known"
    if record.bias is not None and record.bias.operand == operand:
        return f"it is the bias of {operator.name}"
    return f"it is operand {operand} of {operator.name}, which is not a weight"


def compiled_for(model: Model) -> str | None:
    """The accelerator that a model, or a part of it, was compiled for; None if there is none that is known."""
    operators = (operator for subgraph in model.subgraphs for operator in subgraph.operators)
    found = (record_of(operator).accelerator for operator in operators)
    return next((accelerator for accelerator in found if accelerator is not None), None)
