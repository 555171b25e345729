"""The weights of a model as other methods see them: arrays in, arrays out, patched in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import open_model
from tflite_cluster.model.weight import Weight

Reals = npt.NDArray[np.float64]


def by_channel(weight: Weight, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The codes with a row for each output channel, (channels, rest)."""
    return np.moveaxis(codes.reshape(weight.channels.shape), 1, 0).reshape(weight.channels.groups, -1)


def from_channels(weight: Weight, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The inverse of `by_channel`."""
    outer, groups, inner = weight.channels.shape
    return np.moveaxis(rows.reshape(groups, outer, inner), 0, 1).ravel()


def patch(model: Path, output: Path, change: Callable[[Weight, Reals], Reals | None]) -> None:
    """Write a copy of a model whose weights are changed.

    change: gives the new values for the codes (channels, rest) of a weight, or None to leave it; what the storage
    cannot hold is rounded.
    """
    analysis = analyse(open_model(model))
    with PatchedCopy(analysis.model, output) as copy:
        for weight in analysis.weights:
            rows = by_channel(weight, weight.codes(analysis.model)).astype(np.float64)
            changed = change(weight, rows)
            if changed is not None:
                codes = weight.storage.representable(from_channels(weight, changed))
                original = analysis.model.bytes_of(weight.span)
                kind = weight.codes(analysis.model).dtype
                copy.write(weight.span, weight.storage.encode(codes.astype(kind), original))
        copy.commit(force=True)


def floor(model: Path, scratch: Path) -> dict[str, int]:
    """What the weights of a model would weigh at the entropy of their codes, and what the rest of the file weighs.

    codes: bytes of that entropy, each tensor for itself, with the distinct values written once. rest: bytes of a zip
    (level 9) of all else. scratch: a file that may be written.
    """
    from tflite_cluster.packing.sizes import compressed_size

    analysis = analyse(open_model(model))
    bits, rest, start = 0.0, [], 0
    for weight in analysis.weights:
        codes = np.sort(weight.codes(analysis.model))
        counts = np.diff(np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1], [True]))))
        bits += float(np.sum(counts * np.log2(codes.size / counts))) + len(counts) * weight.storage.bits
        rest.append(analysis.model.data[start : weight.span.start])
        start = weight.span.stop
    scratch.write_bytes(b"".join([*rest, analysis.model.data[start:]]))
    return {"codes": round(bits / 8), "rest": compressed_size(scratch, "zip9")}
