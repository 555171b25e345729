"""Weight tensors as the jobs of a run hand them to clustering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_cluster.clustering.assign import Clustered, Problem, cluster_tensor

Codes = npt.NDArray[Any]


def to_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


def to_codes(low: int, high: int) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    return lambda values: np.clip(np.round(values), low, high)


def floats(
    values: npt.ArrayLike,
    representable: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] = to_float32,
    channels: int = 1,
) -> tuple[Codes, Problem]:
    """A tensor of real numbers, of which the first dimension is its channels."""
    codes = np.asarray(values, np.float32).reshape(-1)
    whole = (1, 1, codes.size)
    return codes, Problem(True, np.ones(1), whole, (1, channels, codes.size // channels), 0, representable)


def integers(codes: Codes, scales: npt.ArrayLike = 1.0, zero: int = 0) -> tuple[Codes, Problem]:
    """A tensor of codes whose first dimension is its channels, each with its own scale if there are several."""
    scale = np.atleast_1d(np.asarray(scales, np.float64))
    limits = np.iinfo(codes.dtype)
    channels = (1, len(codes), codes.size // len(codes))
    shape = channels if len(scale) > 1 else (1, 1, codes.size)
    return codes.reshape(-1), Problem(False, scale, shape, channels, zero, to_codes(limits.min, limits.max))


def clustered(tensor: tuple[Codes, Problem], clusters: int, per_channel: bool = False) -> Clustered:
    return cluster_tensor(*tensor, clusters, per_channel)
