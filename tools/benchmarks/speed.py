"""Time and memory against the size of the file, on models that `tools/make_large.py` generates."""

from __future__ import annotations

import lzma
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_large import write

from tflite_cluster.units import parse_bytes

from . import rows
from .method import version_of
from .methods import this_tool
from .process import WorkFailedError, work
from .rows import Row

CLUSTERS = 16


@dataclass(frozen=True)
class Way:
    """Something that is done to a file.

    run: gets the model and a path to write to. most: bytes up to which it is tried; larger files would take it longer
    than anybody waits.
    """

    tool: str
    method: str
    run: Callable[[Path, Path], Any]
    version: Callable[[], str]
    most: int = 1 << 40


def _fixed(model: Path, output: Path) -> None:
    import tflite_cluster

    tflite_cluster.cluster(model, output, clusters=CLUSTERS, run=False, measure=False)


def _synthetic(model: Path, output: Path) -> None:
    import tflite_cluster

    tflite_cluster.cluster(model, output, clusters=CLUSTERS, measure=False, force=True)


def _zip(model: Path, output: Path) -> None:
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(model, model.name)


def _xz(model: Path, output: Path) -> None:
    with model.open("rb") as source, lzma.open(output, "wb", preset=9) as sink:
        shutil.copyfileobj(source, sink)


def _kmeans1d(model: Path, output: Path) -> None:
    import kmeans1d
    import numpy as np

    from .weights import Reals, patch

    def change(_: Any, codes: Reals) -> Reals:
        found = kmeans1d.cluster(codes.ravel(), CLUSTERS)
        return np.array(found.centroids)[np.array(found.clusters)].reshape(codes.shape)

    patch(model, output, change)


def _scikit_learn(model: Path, output: Path) -> None:
    from .methods.k_means import clustered
    from .weights import patch

    patch(model, output, lambda _, codes: clustered(codes, CLUSTERS))


WAYS = (
    Way("this tool", "16 values, without running the model", _fixed, this_tool.version),
    Way("this tool", "16 values, without data", _synthetic, this_tool.version),
    Way("zip", "level 9", _zip, lambda: ""),
    Way("xz", "level 9", _xz, lambda: "", most=200 * 10**6),
    Way("kmeans1d", "16 values per tensor", _kmeans1d, version_of("kmeans1d"), most=20 * 10**6),
    Way("scikit-learn", "16 values per tensor", _scikit_learn, version_of("scikit-learn"), most=200 * 10**6),
)


def measure(out: Path, sizes: list[str], timeout: float) -> Iterator[Row]:
    """Measure what is missing; yields each row once it is in the file."""
    done = {rows.key(row) for row in rows.read(out)}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            model, output = Path(folder, "model.tflite"), Path(folder, "output")
            write(model, parse_bytes(size), "FLOAT32")
            for number, way in enumerate(WAYS):
                row: Row = {
                    "kind": "speed",
                    "model": size,
                    "bytes": model.stat().st_size,
                    "tool": way.tool,
                    "method": way.method,
                    "settings": {"size": size},
                    "version": way.version(),
                }
                if rows.key(row) not in done:
                    row |= _measured(number, model, output, timeout)
                    rows.append(out, row)
                    yield row


def _measured(number: int, model: Path, output: Path, timeout: float) -> Row:
    output.unlink(missing_ok=True)
    if model.stat().st_size > WAYS[number].most:
        return {"failed": "not tried: it would take too long"}
    try:
        spent = work("speed", {"way": number, "model": str(model), "output": str(output)}, timeout)
    except WorkFailedError as failure:
        return {"failed": str(failure)}
    return {"seconds": spent.seconds, "processor": spent.processor, "memory": spent.memory}
