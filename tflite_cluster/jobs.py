"""One job for each weight tensor: its codes out of the file, onto a codebook, and back into the copy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from .clustering.assign import Clustered, Problem, cluster_tensor
from .config import Config
from .model.patch import PatchedCopy
from .model.read import Model
from .model.select import LeftAlone, Weight
from .packing.sizes import deflated_bits
from .result import SpanWritten, TensorResult

Progress = Callable[[str, int, int], None]
"""Called with the stage in words, the steps done, and the steps in all."""

T = TypeVar("T")


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def cluster_weights(
    model: Model, weights: Sequence[Weight], copy: PatchedCopy, config: Config, progress: Progress
) -> list[TensorResult]:
    """Cluster all weights, several at a time, and write those that changed into the copy, in order."""
    tensors: list[TensorResult] = []
    with ThreadPoolExecutor(config.threads) as pool:
        jobs = (lambda weight=weight: _cluster_weight(model, weight, config) for weight in weights)
        for weight, (content, tensor) in zip(weights, _in_order(pool, jobs, config.threads), strict=True):
            if content is not None:
                copy.write(weight.span, content)
            model.forget(weight.span)
            tensors.append(tensor)
            progress("Clustering", len(tensors), len(weights))
    return tensors


def _in_order(pool: ThreadPoolExecutor, jobs: Iterator[Callable[[], T]], ahead: int) -> Iterator[T]:
    """Results in the order of the jobs, with only a few of them under way or waiting to be taken."""
    running: deque[Future[T]] = deque()
    for job in jobs:
        running.append(pool.submit(job))
        if len(running) >= ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def left_alone(constant: LeftAlone) -> TensorResult:
    """A constant that is no weight, as a result."""
    return TensorResult(constant.name, "", constant.type, constant.shape, constant.size, reason=constant.reason)


def _cluster_weight(model: Model, weight: Weight, config: Config) -> tuple[memoryview | None, TensorResult]:
    raw = model.data[weight.span.start : weight.span.stop]
    codes = weight.storage.decode(raw, weight.count)
    if weight.storage.is_float and not np.isfinite(codes).all():
        return None, _tensor(weight, "it holds values that are not finite (NaN or infinity)")
    clustered = cluster_tensor(codes, _problem(weight), config.clusters, config.granularity == "axis")
    if clustered.noise == 0:
        holder = "it has" if config.granularity == "tensor" else "each of its channels has"
        return None, _tensor(weight, f"{holder} no more than {config.clusters} distinct values", clustered)
    content = weight.storage.encode(clustered.codes, raw)
    bits = (deflated_bits(raw, weight.count), deflated_bits(content, weight.count)) if config.measure else (None, None)
    return content, _tensor(weight, None, clustered, *bits)


def _problem(weight: Weight) -> Problem:
    return Problem(
        is_float=weight.storage.is_float,
        scale=weight.scale,
        scale_shape=weight.scale_groups.shape,
        channel_shape=weight.channels.shape,
        zero=weight.zero,
        representable=weight.storage.representable,
    )


def _tensor(
    weight: Weight,
    reason: str | None,
    clustered: Clustered | None = None,
    bits_before: float | None = None,
    bits_after: float | None = None,
) -> TensorResult:
    return TensorResult(
        name=weight.tensor.name,
        operator=", ".join(sorted({user.operator.name for user in weight.users})),
        type=weight.tensor.type,
        shape=weight.tensor.shape,
        bytes=weight.span.size,
        reason=reason,
        values_before=clustered.values_before if clustered else None,
        values_after=clustered.values_after if clustered else None,
        sqnr=clustered.sqnr if clustered else None,
        bits_before=bits_before,
        bits_after=bits_after,
        span=SpanWritten(weight.span.start, weight.span.stop) if reason is None else None,
    )
