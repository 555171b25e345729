"""Limits that a finished model must keep, as a gate in a pipeline: nothing is run and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..units import parse_bytes
from .inspect import InspectedWeight, Inspection, inspect


@dataclass(frozen=True)
class Violation:
    """A limit that a model breaks: `measured` and `limit` in its unit (bytes, values), and what to do, in words."""

    limit_name: str
    limit: int
    measured: int
    tensor: str | None
    """The tensor to blame most, if there is one."""
    why: str


def check_limits(
    source: str | Path | bytes, *, max_zip: str | int | None = None, max_values: int | None = None
) -> tuple[Violation, ...]:
    """The limits that a model breaks, none of them if it is fine.

    source: a .tflite file, or its content. max_zip: what zip -9 of the file may take, in bytes or as "1.5MB".
    max_values: distinct values that each weight tensor may hold. Raises ConfigError without any limit, or on one that
    makes no sense, and ModelError when the model cannot be read or is not safe to read.
    """
    if max_zip is None and max_values is None:
        raise ConfigError("there is nothing to check: give <max_zip> or <max_values>")
    if max_values is not None and max_values < 1:
        raise ConfigError(f"<max_values> must be at least 1, not {max_values}")
    most_bytes = _bytes(max_zip)
    found = inspect(source, measure=most_bytes is not None)
    violations = [_zip_violation(found, most_bytes), _values_violation(found, max_values)]
    return tuple(violation for violation in violations if violation is not None)


def _bytes(max_zip: str | int | None) -> int | None:
    try:
        return None if max_zip is None else parse_bytes(str(max_zip))
    except ValueError as error:
        raise ConfigError("<max_zip>: {error}", error=error) from None


def _zip_violation(found: Inspection, limit: int | None) -> Violation | None:
    if limit is None or found.zip_bytes is None or found.zip_bytes <= limit:
        return None
    why = f"the zip takes {found.zip_bytes:,} bytes, and {limit:,} are allowed"
    heaviest = max(found.weights, key=_deflated_bytes, default=None)
    if heaviest is None:
        return Violation(
            "max-zip", limit, found.zip_bytes, None, f"{why}; there are no weights that could be clustered"
        )
    name, share = heaviest.name, _deflated_bytes(heaviest)
    why = f"{why}; '{name}' alone takes {share:,.0f}: cluster the model with --max-size {limit}"
    return Violation("max-zip", limit, found.zip_bytes, name, why)


def _deflated_bytes(weight: InspectedWeight) -> float:
    return weight.deflated * weight.weights / 8


def _values_violation(found: Inspection, limit: int | None) -> Violation | None:
    broken = [] if limit is None else [weight for weight in found.weights if weight.values > limit]
    if limit is None or not broken:
        return None
    worst = max(broken, key=lambda weight: weight.values)
    why = f"'{worst.name}' has {worst.values:,} distinct values, and {limit:,} are allowed"
    if len(broken) > 1:
        why += f", which {len(broken)} tensors exceed"
    why += f": {_remedy(limit)}"
    return Violation("max-values", limit, worst.values, worst.name, why)


def _remedy(limit: int) -> str:
    return f"cluster the model with --clusters {min(limit, 256)}" if limit >= 2 else "no clustering goes so far"
