"""What a .tflite file says, field by field, through the schema that LiteRT itself carries and without our own reader.

python tests/support/dump.py model.tflite          # one line for each field that is set
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 16

Dump = dict[str, Any]


def dump(data: bytes) -> Dump:
    """All tables as nested dicts and lists; the content of buffers as hash, size and place modulo the alignment.

    Names of fields are those of the schema's object classes.
    """
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(data, 0)
    model: Dump = _plain(schema.ModelT.InitFromObj(root))
    buffers = [root.Buffers(index) for index in range(root.BuffersLength())]
    model["buffers"] = [_buffer(data, buffer) for buffer in buffers]
    for subgraph in model["subgraphs"]:
        for operator in subgraph["operators"]:
            start = operator.pop("largeCustomOptionsOffset")
            size = operator["largeCustomOptionsSize"]
            operator["largeCustomOptions"] = digest(data[start : start + size]) if size > 1 else None
    return model


def digest(content: bytes) -> str:
    """A name for some bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def content_of(content: bytes, residue: int, *, outside: bool) -> Dump:
    """How `dump` shows a buffer that holds something."""
    return {"sha256": digest(content), "size": len(content), "start % 16": residue, "outside": outside}


def lines(node: Any, path: str = "") -> Iterator[str]:
    """The dump as text: a line for each field that is not absent."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from lines(value, f"{path}.{name}" if path else name)
    elif isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        for index, item in enumerate(node):
            yield from lines(item, f"{path}[{index}]")
    elif node is not None:
        yield f"{path} = {node!r}"


def _buffer(data: bytes, buffer: Any) -> Dump | None:
    start, size = buffer.Offset(), buffer.Size()
    outside = start > 1 and size > 1
    if not outside:
        size = buffer.DataLength()
        start = buffer._tab.Vector(buffer._tab.Offset(4)) if size else 0
    return content_of(data[start : start + size], start % ALIGNMENT, outside=outside) if size else None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return digest(value.tobytes()) if value.size > 5000 else value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "Pack"):
        fields = {name: _plain(item) for name, item in vars(value).items()}
        return {"table": type(value).__name__} | fields
    return value


if __name__ == "__main__":
    print(*lines(dump(Path(sys.argv[1]).read_bytes())), sep="\n")
