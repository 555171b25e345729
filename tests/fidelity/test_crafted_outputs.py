"""Whatever a model puts out, no gate passes on what proves nothing: independent comparisons on other inputs agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.operators import LOGISTIC, RELU, SOFTMAX, two_dense

from tflite_cluster import FidelityError, cluster
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.result import Result
from tflite_cluster.samples.synthetic import gather_samples

INPUTS, HIDDEN, OUTPUTS = 16, 40, 24
TOLERANCE = 3.0
"""dB by which other samples may differ."""

Ending = tuple[np.ndarray, np.ndarray, int | None]


def ending(scale: float | np.ndarray, offset: float | np.ndarray, code: int | None = None) -> Callable[[int], Ending]:
    """The last layer: weights of that scale, one for all or for each output, an offset, and what comes behind."""

    def make(seed: int) -> Ending:
        weights = np.random.default_rng(seed).standard_normal((OUTPUTS, HIDDEN)) / math.sqrt(HIDDEN)
        return weights * np.reshape(scale, (-1, 1)), np.zeros(OUTPUTS) + offset, code

    return make


ONE_CLASS = np.where(np.arange(OUTPUTS) == 0, 30.0, 0.0)
BOXES = np.where(np.arange(OUTPUTS) < 4, 200.0, 0.3)
KINDS: dict[str, Callable[[int], Ending]] = {
    "plain": ending(1, 0),
    "constant": ending(0, 3),
    "offset": ending(0.9, 300),
    "mixed scale": ending(BOXES, np.where(BOXES > 1, 320, 0.5)),
    "saturated": ending(1, 40, LOGISTIC),
    "hardly saturated": ending(3, 6, LOGISTIC),
    "dead": ending(1, -50, RELU),
    "hardly dead": ending(1, -2.5, RELU),
    "nearly dead": ending(1, -12, LOGISTIC),
    "one class": ending(1, ONE_CLASS, SOFTMAX),
    "classes": ending(3, 0, SOFTMAX),
    "not a number": ending(1, np.where(np.arange(OUTPUTS) == 3, np.nan, 0.0)),
    "all not a number": ending(1, np.nan),
}
SLICES = {"mixed scale": [np.arange(OUTPUTS) < 4, np.arange(OUTPUTS) >= 4]}
RARELY = {"hardly dead": "unknown"}
"""Outputs that vary in a few samples only may or may not be taken for a signal."""

SAYS_NOTHING = {"constant", "saturated", "dead", "all not a number"}


def model(kind: str, seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    first = generator.standard_normal((HIDDEN, INPUTS)) / math.sqrt(INPUTS), 0.1 * generator.standard_normal(HIDDEN)
    weights, bias, code = KINDS[kind](seed + 1)
    return two_dense(first, (weights, bias), code)


def attempt(source: bytes, **settings: Any) -> Result:
    """The result of a run, without a model where gates refuse it."""
    try:
        return cluster(source, **settings)
    except FidelityError as error:
        return error.result


def outputs(content: bytes, seed: int, count: int = 400) -> np.ndarray:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        opened = OpenModel(path, Kernels.DEFAULT, 1)
        interface = opened.interface()
        batch = gather_samples(interface, None, {}, count, seed)[None].batch(0, count)
        runs = [opened.run(None, {name: values[i] for name, values in batch.items()}) for i in range(count)]
    return np.stack([next(iter(run.values())).reshape(-1) for run in runs]).astype(np.float64)


def independent(kind: str, before: np.ndarray, after: np.ndarray) -> float:
    """dB about the mean of the worst slice, of what is finite in the original."""
    found = [math.inf]
    for members in SLICES.get(kind, [np.ones(OUTPUTS, bool)]):
        x, y = before[:, members], after[:, members]
        finite = np.isfinite(x).all(0)
        x, y = x[:, finite], y[:, finite]
        error, signal = np.sum((y - x) ** 2), np.sum((x - x.mean(0)) ** 2)
        found.append(math.inf if error == 0 else -math.inf if signal == 0 else 10 * math.log10(signal / error))
    return min(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3)
@given(seed=st.integers(0, 1000), clusters=st.sampled_from([2, 4, 16, 64, None]), limit=st.sampled_from([12.0, 20, 30]))
def test_no_gate_on_ratios_passes_where_others_see_less(
    kind: str, seed: int, clusters: int | None, limit: float
) -> None:
    source = model(kind, seed)
    result = attempt(source, clusters=clusters, min_sqnr=limit, measure=False, force=True)
    if result.model is None:
        (gate,) = result.fidelity.gates
        assert (gate.measured is None) == (result.fidelity.verdict == "unknown")
        return
    assert kind not in SAYS_NOTHING
    assert independent(kind, outputs(source, 977), outputs(result.model, 977)) >= limit - TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_writes_nothing_that_others_see_spoilt(kind: str) -> None:
    source = model(kind, 7)
    result = attempt(source, force=True)
    assert result.model is not None
    verdict = result.fidelity.verdict
    assert verdict in ({"unknown"} if kind in SAYS_NOTHING else {"plausible", RARELY.get(kind)})
    if verdict == "plausible":
        assert independent(kind, outputs(source, 977), outputs(result.model, 977)) >= 10 - TOLERANCE
    else:
        assert "give --data" in (result.fidelity.silence or "")
        assert result.strategy.search is None
        assert "give --data" in result.strategy.words
        assert all(tensor.sqnr is None or tensor.sqnr >= 25 for tensor in result.tensors if tensor.clustered)


@pytest.mark.slow
def test_agreement_on_one_class_is_not_measured() -> None:
    with pytest.raises(FidelityError, match="agreement says nothing"):
        cluster(model("one class", 3), clusters=64, min_agreement=99, measure=False)
    result = cluster(model("classes", 3), clusters=64, min_agreement=50, measure=False)
    assert result.fidelity.verdict == "plausible"
