"""What a JSON schema holds."""

from __future__ import annotations

from typing import Any


def objects(schema: Any) -> list[dict[str, Any]]:
    """All schemas of objects with properties of their own, at any depth."""
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    here = [schema] if schema.get("type") == "object" and "properties" in schema else []
    return here + [found for item in schema.values() for found in objects(item)]
