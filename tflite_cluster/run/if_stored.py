"""What the clustered model would weigh with its float weights stored as int8 codes, if their values stayed the same."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np

from ..errors import ModelError
from ..files import temporary_folder
from ..model.analysis import Analysis
from ..model.patch import PatchedCopy
from ..model.storing.biases import exact_biases
from ..model.storing.store import Stored, write_stored
from ..model.weight import Weight
from ..packing.sizes import compressed_size
from ..result import Estimate, Sizes, TensorResult

_HEAVIEST: Final = 64 << 20
"""Bytes of float weights up to which such a file is written and weighed. In larger ones, tables hardly count."""


def estimate_if_stored(
    analysis: Analysis, copy: PatchedCopy, tensors: Sequence[TensorResult], sizes: Sizes
) -> Estimate | None:
    """The sizes with codes for all weights that can have them; None if there are none, or the zip would be no smaller.

    tensors: what became of each weight in the copy. In small models, the tables of new tensors and operators take a
    tenth of the file, so that only a whole file tells its size. Codes count the values in their order, since which
    code stands for which value hardly changes the zip.
    """
    chosen = [
        (weight, tensor)
        for weight, tensor in zip(analysis.weights, tensors, strict=True)
        if tensor.bits_as_codes is not None
    ]
    if not chosen:
        return None
    if sum(tensor.bytes for _, tensor in chosen) > _HEAVIEST:
        file, zipped = _added_up([tensor for _, tensor in chosen], sizes)
    else:
        try:
            file, zipped = _weighed(copy, [weight for weight, _ in chosen])
        except (ModelError, OSError):  # its parts cannot be moved, or there is no room
            return None
    return Estimate(file, zipped, sizes.zip9.before / zipped) if zipped < sizes.zip9.after else None


def _weighed(copy: PatchedCopy, weights: Sequence[Weight]) -> tuple[int, int]:
    """Bytes of a file with the codes, and of its zip."""
    model = copy.reopen()
    stored = {weight.span: _in_order(weight, copy.read_span(weight.span)) for weight in weights}
    stored = exact_biases(model, weights) | stored
    with temporary_folder() as folder:
        path = folder / "stored.tflite"
        with path.open("w+b") as file:
            write_stored(model, list(stored.values()), file)
        return path.stat().st_size, compressed_size(path, "zip9")


def _in_order(weight: Weight, content: bytes) -> Stored:
    """Codes that count the values from the middle one; the scale is of the usual size."""
    real = weight.decode(memoryview(content))
    values = np.unique(real)
    codes = (np.searchsorted(values, real) - len(values) // 2).astype(np.int8)
    scale = np.full(1, np.abs(values).max() / 127, np.float32)
    return Stored.of(weight, codes.reshape(weight.tensor.shape), scale)


def _added_up(tensors: Sequence[TensorResult], sizes: Sizes) -> tuple[int, int]:
    """The same from the bits of each tensor alone."""
    counts = [prod(tensor.shape) for tensor in tensors]
    bits = sum(
        count * ((tensor.bits_after or 0) - (tensor.bits_as_codes or 0))
        for tensor, count in zip(tensors, counts, strict=True)
    )
    file = sizes.file.after - sum(tensor.bytes - count for tensor, count in zip(tensors, counts, strict=True))
    return file, sizes.zip9.after - round(bits / 8)
