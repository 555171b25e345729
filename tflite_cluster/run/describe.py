"""One job for each weight tensor: its codes out of the file and onto a codebook, and what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import numpy as np

from ..clustering.assign import Clustered, Problem, cluster_tensor, compare
from ..clustering.grid import LARGEST
from ..clustering.histogram import Array, distinct
from ..config import Config
from ..model.analysis import Analysis
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.scales import ScaleVectors
from ..model.source import same
from ..model.storing.store import Stored
from ..model.verify import Span
from ..model.weight import LeftAlone, Weight
from ..packing.sizes import deflated_bits
from ..progress import Progress
from ..result import CodesWritten, Role, SpanWritten, TensorResult
from ..targets import find_target

T = TypeVar("T")

_SMALLEST_MENTIONED: Final = 1024
"""Constants below this many bytes that nothing was done to are not worth a line in a report."""

_AT_ONCE: Final = 128 << 20
"""Bytes of the tensors that are worked on at the same time, unless a single one has more."""

_CODES: Final = 2 * LARGEST + 1
"""How many different int8 codes there are with a counterpart."""

_TOO_FAR_APART: Final = f"its values are too far apart for {_CODES} codes"


def cluster_weights(
    model: Model, weights: Sequence[Weight], copy: PatchedCopy, config: Config, progress: Progress
) -> None:
    """Cluster all weights by k-means, several at a time, and write those that changed into the copy.

    config: with a number of values for each of them.
    """
    jobs = ((weight.span.size, partial(_cluster_weight, model, weight, config)) for weight in weights)
    for number, (weight, content) in enumerate(zip(weights, _in_order(jobs, config.threads), strict=True)):
        if content is not None:
            copy.write(weight.span, content)
        model.forget(weight.span)
        progress("Clustering", number + 1, len(weights))


def describe_weights(analysis: Analysis, copy: PatchedCopy, config: Config) -> list[TensorResult]:
    """What became of each weight in the copy."""
    model, weights, stored = analysis.model, analysis.weights, copy.stored
    jobs = (
        (
            weight.span.size,
            partial(
                _describe,
                analysis,
                weight,
                copy.read_span(weight.span),
                stored.get(weight.span),
                _rescaled(model, copy, analysis.scale_vectors(weight)),
                config,
            ),
        )
        for weight in weights
    )
    tensors: list[TensorResult] = []
    for weight, tensor in zip(weights, _in_order(jobs, config.threads), strict=True):
        model.forget(weight.span)
        tensors.append(tensor)
    return tensors


@dataclass(frozen=True)
class _Rescaled:
    """The scales that a weight has now, and the vectors that differ for it."""

    scale: Array
    spans: tuple[Span, ...]


def _rescaled(model: Model, copy: PatchedCopy, vectors: ScaleVectors | None) -> _Rescaled | None:
    """What became of the scales of a weight; None where nothing did."""
    written = () if vectors is None else tuple(span for span in vectors.spans if span in copy.spans)
    spans = tuple(span for span in written if copy.read_span(span) != model.bytes_of(span))
    if vectors is None or not spans:
        return None
    return _Rescaled(np.frombuffer(copy.read_span(vectors.weight), "<f4").astype(np.float64), spans)


def _in_order(jobs: Iterator[tuple[int, Callable[[], T]]], threads: int) -> Iterator[T]:
    """Results in the order of the jobs, each with its bytes; few are under way or waiting to be taken at a time."""
    running: deque[tuple[int, Future[T]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for size, job in jobs:
            while running and (len(running) >= threads or sum(size for size, _ in running) + size > _AT_ONCE):
                yield running.popleft()[1].result()
            running.append((size, pool.submit(job)))
        while running:
            yield running.popleft()[1].result()


def describe_constants(analysis: Analysis, copy: PatchedCopy) -> list[TensorResult]:
    """What became of the constants that are no weights: biases fitted to the weights, and large ones left alone."""
    tensors: list[TensorResult] = []
    for constant in analysis.constants:
        is_written = constant.span in copy.spans
        if is_written and copy.read_span(constant.span) != analysis.model.bytes_of(constant.span):
            span = SpanWritten(constant.span.start, constant.span.stop)
            tensors.append(_constant(constant, "bias", operator="bias", span=span))
        elif constant.span.size >= _SMALLEST_MENTIONED:
            tensors.append(_constant(constant, "constant", reason=constant.reason))
    return tensors


def _constant(
    constant: LeftAlone, role: Role, operator: str = "", reason: str | None = None, span: SpanWritten | None = None
) -> TensorResult:
    return TensorResult(
        constant.name, operator, constant.type, constant.shape, constant.span.size, reason, span=span, role=role
    )


def _cluster_weight(model: Model, weight: Weight, config: Config) -> memoryview | None:
    codes = weight.codes(model)
    clusters = config.most_values(weight.tensor.name, weight.operators)
    assert clusters is not None
    clustered = cluster_tensor(codes, _problem(weight), clusters, config.granularity == "axis")
    return weight.storage.encode(clustered.codes, model.bytes_of(weight.span)) if clustered.noise else None


def _describe(
    analysis: Analysis,
    weight: Weight,
    content: bytes,
    stored: Stored | None,
    rescaled: _Rescaled | None,
    config: Config,
) -> TensorResult:
    raw = analysis.model.bytes_of(weight.span)
    codes = weight.decode(raw)
    if stored is not None:
        return _describe_stored(weight, raw, stored, config)
    if weight.storage.is_float and not np.isfinite(codes).all():
        return _tensor(weight, "it holds values that are not finite (NaN or infinity)")
    if same(raw, content) and rescaled is None:
        compared = compare(codes, codes, _problem(weight))
        return _tensor(weight, _why_unchanged(weight, compared, config), compared)
    compared = compare_stored(weight, raw, memoryview(content), None if rescaled is None else rescaled.scale)
    tensor = _tensor(weight, None, compared, *_bits(weight, raw, content, config))
    if rescaled is not None:
        tensor = replace(tensor, scales=tuple(SpanWritten(span.start, span.stop) for span in rescaled.spans))
    return _with_storing(analysis, weight, content, tensor, config) if weight.storage.is_float else tensor


def _with_storing(
    analysis: Analysis, weight: Weight, content: bytes, tensor: TensorResult, config: Config
) -> TensorResult:
    """What storing a float weight as codes would give, or why it was not done."""
    keeps = analysis.int8_obstacle(weight)
    if not find_target(config.store).keeps_types:
        return replace(tensor, keeps_type=keeps or _TOO_FAR_APART)
    if keeps is not None or not config.measure or (tensor.values_after or 0) > _CODES:
        return tensor
    return replace(tensor, bits_as_codes=deflated_bits(_as_codes(weight, content), weight.count))


def _as_codes(weight: Weight, content: bytes) -> memoryview:
    """One byte for each distinct value of the weight; which byte stands for which value does not matter."""
    values = weight.decode(memoryview(content))
    codes = np.searchsorted(np.unique(values), values).astype(np.uint8)
    return codes.data.cast("B")


def _describe_stored(weight: Weight, raw: memoryview, stored: Stored, config: Config) -> TensorResult:
    before, codes = weight.decode(raw), stored.codes.reshape(-1)
    compared = compare(before, stored.values.reshape(-1), _problem(weight))
    compared = replace(compared, values_after=distinct(codes))
    tensor = _tensor(weight, None, compared, *_bits(weight, raw, stored.content, config))
    return replace(tensor, stored=CodesWritten(stored.type, len(stored.scale)))


def _bits(weight: Weight, before: memoryview, after: bytes | memoryview, config: Config) -> tuple[float | None, ...]:
    """What deflate spends on each weight, before and after; nothing if that is not to be measured."""
    if not config.measure:
        return ()
    return deflated_bits(before, weight.count), deflated_bits(after, weight.count)


def compare_stored(weight: Weight, before: memoryview, after: memoryview, scale: Array | None = None) -> Clustered:
    """What became of a weight, from its stored bytes before and after.

    scale: that of the new codes, for each of its groups, if it is not the same.
    """
    codes, changed = (weight.decode(raw) for raw in (before, after))
    return compare(codes, changed, _problem(weight), scale)


def distinct_values(model: Model, weight: Weight) -> int:
    """How many different values a weight holds in the model."""
    return distinct(weight.codes(model))


def _why_unchanged(weight: Weight, compared: Clustered, config: Config) -> str:
    if config.keeps(weight.tensor.name, weight.operators):
        return "it was to be kept"
    clusters = config.most_values(weight.tensor.name, weight.operators)
    if config.granularity == "axis":
        return f"each of its channels has no more than {clusters} distinct values"
    if clusters is not None and compared.values_before <= clusters:
        return f"it has no more than {clusters} distinct values"
    return (
        "it has a single value" if compared.values_before == 1 else "fewer bits would cost more fidelity than they save"
    )


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
        operator=", ".join(sorted(weight.operators)),
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
