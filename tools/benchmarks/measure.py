"""What a model weighs, and what it says of labelled samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_cluster.packing.sizes import compressed_size

CODERS = ("zip9", "gzip6")
MORE_CODERS = ("deflate12", "xz")
"""These take long on large files, and are asked only of this tool's."""

THREADS = 1


def sizes(model: Path, coders: tuple[str, ...]) -> dict[str, int]:
    """Bytes of the file, and after each coder."""
    return {"file": model.stat().st_size} | {coder: compressed_size(model, coder) for coder in coders}


def outputs(model: Path, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The first output for each sample, (samples, elements), in real values; one sample at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=THREADS)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs; only models with one can be measured")
    (given,), taken = inputs, interpreter.get_output_details()[0]
    rows = []
    for sample in x:
        interpreter.set_tensor(given["index"], _as_input(sample, given).reshape(given["shape"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(taken["index"]).ravel().astype(np.float64))
    return np.stack(rows)


def _as_input(sample: npt.NDArray[Any], given: dict[str, Any]) -> npt.NDArray[Any]:
    """A sample in the type of the input: a quantised model may take codes where its original took real values."""
    if np.issubdtype(given["dtype"], np.integer) and np.issubdtype(sample.dtype, np.floating):
        scale, zero = given["quantization"]
        limits = np.iinfo(given["dtype"])
        sample = np.clip(np.round(sample / scale + zero), limits.min, limits.max)
    return sample.astype(given["dtype"], copy=False)


def compared(
    before: npt.NDArray[Any], after: npt.NDArray[Any], y: npt.NDArray[Any], first_class: int
) -> dict[str, int]:
    """Counts of samples: right before and after, lost, gained, and those for which both name the same class.

    From these the accuracies follow to the last digit, and so does the standard error of their difference.
    """
    was, is_now = (scores[:, first_class:].argmax(1) == y for scores in (before, after))
    return {
        "samples": len(y),
        "right_before": int(was.sum()),
        "right_after": int(is_now.sum()),
        "lost": int((was & ~is_now).sum()),
        "gained": int((~was & is_now).sum()),
        "agree": int((before.argmax(1) == after.argmax(1)).sum()),
    }


def points(counts: dict[str, int]) -> float:
    """Change of accuracy in points; negative if some was lost."""
    return 100 * (counts["right_after"] - counts["right_before"]) / counts["samples"]


def standard_error(counts: dict[str, int]) -> float:
    """Of that change, in points: of the mean of differences that are -1, 0 or 1 for each sample."""
    n, changed = counts["samples"], counts["lost"] + counts["gained"]
    mean = (counts["gained"] - counts["lost"]) / n
    return 100 * math.sqrt(max(changed - n * mean**2, 0.0) / (n - 1) / n) if n > 1 else math.nan


def agreement(counts: dict[str, int]) -> float:
    """Percent of samples for which both models name the same class."""
    return 100 * counts["agree"] / counts["samples"]


def agreement_error(counts: dict[str, int]) -> float:
    """One standard error of the agreement, in points."""
    share = counts["agree"] / counts["samples"]
    return 100 * math.sqrt(share * (1 - share) / counts["samples"])
