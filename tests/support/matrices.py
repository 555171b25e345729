"""Weights as rows and columns, as clustering to a count or at a price takes them."""

from __future__ import annotations

import numpy as np

from tflite_cluster.clustering.feedback import Feedback, shrunk
from tflite_cluster.clustering.rate import Matrix

from .problems import to_codes, to_float32

ROWS, COLUMNS = 24, 60
LEAST_SQNR = 8.0

Floats = np.ndarray


def hessians(parts: int, n: int) -> Floats:
    mixing = np.random.default_rng(parts).standard_normal((parts, n, n)) + 1
    return shrunk(mixing @ mixing.transpose(0, 2, 1), 1e3, 0.01)


def floats(values: Floats | None = None, parts: tuple[int, int] | None = None) -> Matrix:
    """A matrix of float32; parts is the shape (parts, n) of the layer input, observed unless None."""
    if values is None:
        values = np.random.default_rng(0).laplace(0, 0.1, (ROWS, COLUMNS))
    feedback = None if parts is None else Feedback.of(hessians(*parts))
    mean = None if parts is None else np.random.default_rng(2).standard_normal(parts)
    codes = np.asarray(values, np.float32)
    return Matrix(codes, True, np.ones(len(codes)), 0, to_float32, feedback, mean, None)


def integers(zero: int = 0, kind: type = np.int8, parts: tuple[int, int] | None = None) -> Matrix:
    """Codes of rows that each have a scale. Some rows hold the zero."""
    limits = np.iinfo(kind)
    spread = (limits.max - limits.min) / 8
    values = np.random.default_rng(1).normal(zero, spread, (ROWS, COLUMNS))
    codes = np.clip(np.round(values), limits.min, limits.max).astype(kind)
    codes[::3, ::5] = zero
    feedback = None if parts is None else Feedback.of(hessians(*parts))
    mean = None if parts is None else np.random.default_rng(2).standard_normal(parts)
    scale = np.geomspace(0.01, 0.05, ROWS)
    return Matrix(codes, False, scale, zero, to_codes(limits.min, limits.max), feedback, mean, None)


def entropy(codes: Floats) -> float:
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    return float(-shares @ np.log2(shares))
