"""Real models, which are too large to be kept here: all of them are clustered, and compared without our own code."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tflite_cluster import cluster
from tflite_cluster.cli import main
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select

VARIABLE = "TFLITE_CLUSTER_ZOO"
FOLDER = Path(os.environ.get(VARIABLE) or "no-zoo")
MODELS = sorted(path for part in ("models", "variety") for path in FOLDER.glob(f"{part}/*.tflite"))
CLUSTERS = 32

pytestmark = [
    pytest.mark.zoo,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{VARIABLE} names no folder of real models"),
]


def test_the_zoo_is_not_empty() -> None:
    assert MODELS


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_real_model_changes_in_its_weights_only(path: Path, tmp_path: Path) -> None:
    destination = tmp_path / path.name
    result = cluster(path, destination, clusters=CLUSTERS, run=False, measure=False, force=True)

    before, after = np.fromfile(path, np.uint8), np.fromfile(destination, np.uint8)
    assert len(before) == len(after)
    allowed = np.zeros(len(before), bool)
    for span in result.spans:
        allowed[span.start : span.stop] = True
    assert not (before != after)[~allowed].any()

    stored = {weight.span.start: weight for weight in select(open_model(path))[0]}
    for tensor in result.tensors:
        if tensor.span is None:
            assert tensor.reason
            continue
        assert (before != after)[tensor.span.start : tensor.span.stop].any()
        weight = stored[tensor.span.start]
        written = memoryview(after)[tensor.span.start : tensor.span.stop]
        assert len(np.unique(weight.storage.decode(written, weight.count))) <= CLUSTERS

    assert main(["diff", str(path), str(destination)]) == 0
    name = next(iter(stored.values())).tensor.name.encode()
    changed = after.copy()
    changed[path.read_bytes().index(name)] ^= 1  # a letter of it: no weight, and no bias, which diff lets pass
    changed.tofile(tmp_path / "changed.tflite")
    assert main(["diff", str(path), str(tmp_path / "changed.tflite")]) == 99

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(destination) as new:
            assert new.namelist() == old.namelist()
            assert new.testzip() is None
