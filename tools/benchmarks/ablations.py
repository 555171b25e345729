"""Parts of the method switched off, one at a time, by replacing what the package calls at a named place.

Each ablation names its seam: a module and an attribute of it. If a seam is gone, the ablation fails with its name
rather than measure nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ablation:
    """A part that is left out.

    module, attribute: the seam; the attribute may be that of a class, as "Class.method". instead: gives what takes its
    place, for what is there.
    """

    name: str
    module: str
    attribute: str
    instead: Callable[[Any], Any]
    of_integers: bool = False
    """Whether models of float weights have no such part."""


class SeamGoneError(AttributeError):
    """The package no longer has the place at which an ablation replaces something."""


@contextmanager
def without(ablation: Ablation) -> Iterator[None]:
    """Leave a part out, within the context; raises SeamGoneError."""
    *path, name = ablation.attribute.split(".")
    try:
        owner = importlib.import_module(f"tflite_cluster.{ablation.module}")
        for part in path:
            owner = getattr(owner, part)
        original = owner.__dict__[name]
    except (ImportError, AttributeError, KeyError) as error:
        raise SeamGoneError(
            f"ablation '{ablation.name}': tflite_cluster.{ablation.module} has no {ablation.attribute} any more"
        ) from error
    setattr(owner, name, ablation.instead(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _equal_sqnr(_: Any) -> Any:
    """Sensitivities of 0, for which every tensor keeps the same ratio of signal to noise."""
    return lambda *arguments: np.zeros(len(arguments[1]))


def _k_means(original: Any) -> Any:
    """The best centroids for as many values, whatever bits they cost."""
    from tflite_cluster.clustering.codebook import float_codebook, nearest, optimal_codebook
    from tflite_cluster.clustering.entropy import EntropyCodebook

    def codebook(matrix: Any, price: float) -> EntropyCodebook:
        count, histogram = len(original(matrix, price).centroids), matrix.histogram
        if count < 2:
            return original(matrix, price)
        if matrix.is_float:
            centroids = float_codebook(histogram, count, matrix.relative)
        else:
            centroids = optimal_codebook(histogram, count, histogram.index_of(0.0), matrix.relative)
        found = nearest(histogram.values, centroids)
        shares = np.bincount(found, matrix.counts, len(centroids)) / matrix.codes.size
        bits = -np.log2(np.maximum(shares, 1 / matrix.codes.size))
        error = float(histogram.weights @ (histogram.values - centroids[found]) ** 2)
        return EntropyCodebook(centroids, bits, float(shares @ bits), error)

    return codebook


def _nearest(_: Any) -> Any:
    """Every weight takes its nearest centroid."""
    from tflite_cluster.clustering.codebook import nearest

    def assign(self: Any, weights: Any, centroids: Any, scale: Any, zeros: Any = None, held: Any = None) -> Any:
        del self, scale, held
        indices = nearest(weights, centroids)
        if zeros is not None:
            indices[zeros] = np.searchsorted(centroids, 0.0)
        return indices

    return assign


def _same_scales(_: Any) -> Any:
    """Integer weights keep the scales that they have."""
    from tflite_cluster.search.encodings import SameCodes

    return lambda place, _: SameCodes(place)


ABLATIONS = (
    Ablation("bits where they matter", "search.run", "sensitivities", _equal_sqnr),
    Ablation("bits counted in codebooks", "clustering.rate", "_codebook", _k_means),
    Ablation("error feedback", "clustering.feedback", "Feedback.assign", _nearest),
    Ablation("feedback between rows", "search.job", "coupled", lambda _: lambda job, *_: job),
    Ablation("layers in order", "search.run", "_allows_passes", lambda _: lambda _: False),
    Ablation("biases fitted", "search.calibrated", "REAL", lambda real: replace(real, shifts_biases=False)),
    Ablation("biases rounded", "search.clusterer", "rounded", lambda _: lambda biases, *_: biases),
    Ablation("scales rewritten", "search.calibrated", "RescaledCodes", _same_scales, of_integers=True),
)
"""In the order of the stages."""

BY_NAME = {ablation.name: ablation for ablation in ABLATIONS}
