"""Write a model of a given size: fully connected layers side by side, their weights outside the flatbuffer.

python tools/make_large.py large.tflite 3GB
python tools/make_large.py large.tflite 20MB --type INT4

Weights are normally distributed and written a layer at a time, so that the file may be larger than memory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.crafting import craft  # noqa: E402

from tflite_cluster.units import parse_bytes  # noqa: E402

COLUMNS = 4096
LAYER_BYTES = 64 << 20
ALIGNMENT = 64
TYPES = {"FLOAT16": (1, 16), "INT8": (9, 8), "INT4": (17, 4), "FLOAT32": (0, 32)}
FULLY_CONNECTED, DEQUANTIZE = 9, 6


def layers(size: int, bits: int, most_bytes: int) -> list[int]:
    """Rows of each layer: as many layers of at most so many bytes as make up the size."""
    row = COLUMNS * bits // 8
    rows, most = max(1, size // row), most_bytes // row
    return [most] * (rows // most) + ([rows % most] if rows % most else [])


def model(kind: str, rows: list[int], start: int) -> dict[str, Any]:
    """The tables, for weights that begin at byte `start`."""
    code, bits = TYPES[kind]
    is_integer = kind.startswith("INT")
    tensors = [tensor("x", (1, COLUMNS))]
    buffers: list[dict[str, Any]] = [{}]
    operators = []
    for number, count in enumerate(rows):
        nbytes = count * COLUMNS * bits // 8
        buffers.append({"offset": start, "size": nbytes})
        start += -(-nbytes // ALIGNMENT) * ALIGNMENT
        weight = len(tensors)
        tensors.append(tensor(f"weights_{number}", (count, COLUMNS), code, len(buffers) - 1))
        if is_integer:
            tensors[-1]["quantization"] = {
                "scale": np.full(count, 0.01, np.float32),
                "zero_point": np.zeros(count, np.int64),
            }
        if kind == "FLOAT16":
            tensors.append(tensor(f"wide_{number}", (count, COLUMNS)))
            operators.append({"opcode_index": 1, "inputs": ints(weight), "outputs": ints(weight + 1)})
            weight += 1
        tensors.append(tensor(f"y_{number}", (1, count)))
        operators.append(
            {
                "inputs": ints(0, weight, -1),
                "outputs": ints(len(tensors) - 1),
                "builtin_options_type": 8,
                "builtin_options": (8, {}),
            }
        )
    outputs = [index for index, each in enumerate(tensors) if each["name"].startswith(b"y_")]
    codes = [(FULLY_CONNECTED, 9 if is_integer else 1), (DEQUANTIZE, 2)]
    return {
        "version": 3,
        "operator_codes": [
            {"deprecated_builtin_code": code, "builtin_code": code, "version": version} for code, version in codes
        ],
        "subgraphs": [{"tensors": tensors, "inputs": ints(0), "outputs": ints(*outputs), "operators": operators}],
        "buffers": buffers,
    }


def tensor(name: str, shape: tuple[int, ...], code: int = 0, buffer: int = 0) -> dict[str, Any]:
    return {"name": name.encode(), "shape": ints(*shape), "type": code, "buffer": buffer, "has_rank": 1}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def weights(kind: str, count: int, seed: int) -> bytes:
    """Stored bytes of `count` rows."""
    generator = np.random.default_rng(seed)
    if kind == "INT4":
        codes = np.clip(np.round(2 * generator.standard_normal(count * COLUMNS, np.float32)), -7, 7).astype(np.uint8)
        return bytes((codes[0::2] & 0xF) | (codes[1::2] << 4 & 0xF0))
    values = generator.standard_normal(count * COLUMNS, np.float32)
    if kind == "INT8":
        return np.clip(np.round(30 * values), -127, 127).astype(np.int8).tobytes()
    return (0.05 * values).astype(kind.lower()).tobytes()


def write(path: Path, size: int, kind: str, layer_bytes: int = LAYER_BYTES) -> None:
    """Write the model; the numbers of the first layer's generator begin anew for every file."""
    rows = layers(size, TYPES[kind][1], layer_bytes)
    length = len(craft(model(kind, rows, 1 << 32)))
    start = -(-(length + 64) // ALIGNMENT) * ALIGNMENT
    with path.open("wb") as file:
        file.write(craft(model(kind, rows, start)))
        for seed, count in enumerate(rows):
            file.write(bytes(-file.tell() % ALIGNMENT) if seed else bytes(start - file.tell()))
            file.write(weights(kind, count, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("size", type=parse_bytes, help="of all weights, such as 3GB")
    parser.add_argument("--type", choices=TYPES, default="INT8", dest="kind")
    options = parser.parse_args()
    write(options.path, options.size, options.kind)
    print(f"{options.path}: {options.path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
