"""Make the models that the tests run on, and `manifest.json`, which says what is in each of them.

Weights come from seeded generators, so every run writes the same bytes. Each model is also run in the LiteRT
interpreter, with its default kernels and with the reference kernels, and the manifest holds the outcome.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from fixtures import awkward, built_float, built_integer, converted, tables
from fixtures.run import RESOLVERS, outcome
from fixtures.spec import Fixture

MIN_WEIGHTS = 500
TYPE_NAMES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


def large_constants(model: bytes) -> list[dict[str, Any]]:
    """Every constant of at least `MIN_WEIGHTS` values: where it is, how it is stored and in how many bytes."""
    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    found = []
    for subgraph_index, subgraph in enumerate(parsed.subgraphs):
        for tensor_index, tensor in enumerate(subgraph.tensors):
            buffer = parsed.buffers[tensor.buffer]
            size = buffer.size or (0 if buffer.data is None else len(buffer.data))
            shape = [] if tensor.shape is None else [int(length) for length in tensor.shape]
            if size and np.prod(shape) >= MIN_WEIGHTS:
                found.append(
                    {
                        "subgraph": subgraph_index,
                        "tensor": tensor_index,
                        "name": tensor.name.decode(),
                        "dtype": TYPE_NAMES[tensor.type],
                        "shape": shape,
                        "buffer": tensor.buffer,
                        "bytes": size,
                        "sparse": tensor.sparsity is not None,
                    }
                )
    return found


def describe(fixture: Fixture, path: Path) -> dict[str, Any]:
    """The manifest's entry for a written fixture."""
    model = path.read_bytes()
    reasons = dict(fixture.left_alone)
    constants = large_constants(model)
    weights = [constant for constant in constants if constant["name"] not in reasons]
    left_alone = [constant | {"reason": reasons[constant["name"]]} for constant in constants if constant not in weights]
    if len(left_alone) != len(reasons):
        raise ValueError(f"{fixture.name}: no constant is called one of {sorted(reasons)}")
    if not weights and not left_alone:
        raise ValueError(f"{fixture.name}: no constant has {MIN_WEIGHTS} values")
    entry: dict[str, Any] = {
        "operator": fixture.operator,
        "dtype": fixture.dtype,
        "bytes": len(model),
        "weights": weights,
        "left_alone": left_alone,
        "interpreter": {resolver: outcome(path, resolver) for resolver in RESOLVERS},
    }
    return entry | ({"note": fixture.note} if fixture.note else {})


def main() -> None:
    """Write all fixtures and the manifest, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[1] / "tests" / "fixtures"
    parser.add_argument("--out", type=Path, default=default, help="directory to fill")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)

    manifest = {}
    for module in (converted, built_float, built_integer, awkward, tables):
        for fixture in module.fixtures():
            path = folder / f"{fixture.name}.tflite"
            path.write_bytes(fixture.make())
            entry = manifest[path.name] = describe(fixture, path)
            runs = ", ".join(f"{resolver}: {result}" for resolver, result in entry["interpreter"].items())
            print(f"{path.name}: {entry['bytes']:,} bytes, {len(entry['weights'])} weight tensors; {runs}", flush=True)
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
