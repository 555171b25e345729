"""The default run, from file to file, on models of every kind."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import FidelityError, Result, cluster
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.model.weight import Weight
from tflite_cluster.search.task import Task

EXAMPLES = Path(__file__).parents[2] / "examples"

SEARCHED = {
    "batch_matmul_float32": 0,
    "cast_bfloat16": 1,
    "conv_2d_float16": 1,
    "conv_2d_grouped_float32": 1,
    "conv_2d_hybrid_int8": 1,
    "conv_2d_int16x8": 1,
    "conv_2d_int8": 1,
    "conv_2d_strided_dilated_float32": 1,
    "conv_2d_uint8": 1,
    "depthwise_conv_2d_float32": 1,
    "depthwise_conv_2d_int8": 1,
    "dequantize_int8": 1,
    "dynamic_batch_float32": 1,
    "embedding_lookup_int8": 0,
    "four_values_float32": 1,
    "fully_connected_blockwise_int4": 0,
    "fully_connected_odd_int4": 1,
    "gather_float32": 0,
    "gru_unrolled_float32": 2,
    "gru_while_float32": 0,
    "if_branches_float32": 0,
    "outside_float32": 2,
    "shared_buffer_float32": 1,
    "sparse_densify_float16": 0,
    "svdf_int8": 1,
    "tied_embedding_float32": 0,
    "transpose_conv_int8": 1,
    "two_signatures_float32": 2,
    "unidirectional_sequence_lstm_hybrid_int8": 8,
    "while_body_float32": 0,
}
"""Fixture -> how many of its weights have inputs that can be observed."""

NOT_RUN = {
    "custom_operator_float32": "NobodyKnowsThis",
    "dequantize_bfloat16": "DEQUANTIZE",
    "string_input_float32": "text",
}
NOTHING_TO_DO = [
    "not_finite_float32",
    "resource_variable_float32",
    "weight_is_output_float32",
    "weight_used_twice_float32",
]


@cache
def run(name: str) -> Result:
    return cluster(FOLDER / f"{name}.tflite", measure=False, force=True, workers=2)


def check_bytes(name: str, result: Result) -> None:
    """Nothing differs but what is said to; weights are valid codes."""
    path = FOLDER / f"{name}.tflite"
    before = path.read_bytes()
    after = result.model
    assert after is not None
    assert len(after) == len(before)
    restored = bytearray(after)
    for span in result.spans:
        assert after[span.start : span.stop] != before[span.start : span.stop]
        restored[span.start : span.stop] = before[span.start : span.stop]
    assert restored == before
    old, new = (select(open_model(content))[0] for content in (before, after))
    assert [weight.span for weight in old] == [weight.span for weight in new]


def runs(content: bytes, folder: Path) -> None:
    path = folder / "clustered.tflite"
    path.write_bytes(content)
    model = OpenModel(path, Kernels.NO_DELEGATE, 1)
    for signature in model.interface().signatures:
        given = {}
        for spec in signature.inputs:
            shape = [size if size > 0 else 1 for size in spec.shape]
            given[spec.name] = np.ones(shape, spec.dtype)
        outputs = model.run(signature.key, given)
        assert all(np.isfinite(values).all() for values in outputs.values() if values.dtype.kind == "f")


def codes_of(content: bytes, weight: Weight) -> np.ndarray:
    raw = memoryview(content)[weight.span.start : weight.span.stop]
    return weight.storage.decode(raw, weight.count)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHED)
def test_a_model_is_searched(name: str, tmp_path: Path) -> None:
    result = run(name)
    check_bytes(name, result)
    search = result.strategy.search
    assert search is not None
    assert "searched on 300 synthetic samples" in result.strategy.words
    assert search.chosen is not None
    assert search.chosen in search.points
    assert search.observed == SEARCHED[name]
    assert result.fidelity.status == "checked"
    assert result.model is not None
    runs(result.model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_RUN)
def test_a_model_that_does_not_run_falls_back_and_says_why(name: str) -> None:
    result = run(name)
    check_bytes(name, result)
    assert result.strategy.search is None
    assert NOT_RUN[name] in result.strategy.words
    assert result.fidelity.status == "not checked"
    clustered = [tensor for tensor in result.tensors if tensor.span is not None]
    assert clustered
    assert all(tensor.sqnr is not None and 25 < tensor.sqnr < 40 for tensor in clustered)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTHING_TO_DO)
def test_a_model_without_usable_weights_stays_as_it_is(name: str) -> None:
    result = run(name)
    assert result.model == (FOLDER / f"{name}.tflite").read_bytes()
    assert result.spans == ()
    assert len(result.strategy.words) < 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv_2d_float32", "conv_2d_int8", "sparse_densify_float16", "cast_bfloat16"])
def test_codes_stay_what_the_type_holds_and_zero_stays_zero(name: str) -> None:
    result = run(name)
    assert result.model is not None
    path = FOLDER / f"{name}.tflite"
    for weight in select(open_model(path))[0]:
        before, after = codes_of(path.read_bytes(), weight), codes_of(result.model, weight)
        assert len(np.unique(after)) < len(np.unique(before))
        assert not np.array_equal(before, after)
        if weight.zero in before:
            assert weight.zero in after


def test_not_to_run_the_model_is_a_reason_too() -> None:
    result = cluster(FOLDER / "conv_2d_float32.tflite", measure=False, run=False)
    assert "not to be run" in result.strategy.words
    assert result.strategy.search is None
    assert result.spans


@pytest.mark.slow
@pytest.mark.parametrize("name", ["outside_float32", "depthwise_conv_2d_int8"])
def test_the_number_of_workers_does_not_matter(name: str) -> None:
    (first, second) = (
        cluster(FOLDER / f"{name}.tflite", measure=False, force=True, workers=workers) for workers in (1, 2)
    )
    assert first.model == second.model
    assert first.strategy.search == second.strategy.search


def digits(**settings: Any) -> Result:
    with np.load(EXAMPLES / "digits.samples.npz") as data:
        given = {name: data[name][:40] for name in data}
    return cluster(EXAMPLES / "digits.tflite", data=given, force=True, **settings)


@pytest.mark.slow
def test_data_and_a_gate() -> None:
    search = digits(min_sqnr=25.0, measure=False).strategy.search
    assert search is not None
    assert search.chosen is not None
    assert search.chosen.quality.sqnr >= 25
    assert search.chosen.quality.drop is not None
    assert any(point.quality.sqnr < 25 for point in search.points), "the border was looked for"


@pytest.mark.slow
def test_the_best_within_a_size() -> None:
    result = digits(max_size="5x")
    assert result.sizes is not None
    assert 5 <= result.sizes.zip9.ratio < 6


@pytest.mark.slow
def test_a_limit_beside_a_size_takes_the_place_of_the_usual_ones() -> None:
    """What the message of the usual limit names must lead out of it."""
    fast = partial(cluster, EXAMPLES / "digits.tflite", effort="fast", max_size="7.9x")
    with pytest.raises(FidelityError, match="max-drop sets another limit"):
        fast()
    assert [gate.gate for gate in fast(max_drop=20.0).fidelity.gates] == ["max-drop", "max-size"]
    with pytest.raises(FidelityError, match="min-sqnr"):
        fast(min_sqnr=60.0)


@pytest.mark.slow
def test_a_count_of_values_is_calibrated_too() -> None:
    result = digits(clusters=8, measure=False)
    assert "calibrated" in result.strategy.words
    assert all(tensor.values_after is None or tensor.values_after <= 8 for tensor in result.tensors if tensor.span)


@pytest.mark.slow
def test_an_interpreter_that_dies_midway_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search had written, shifted biases included, is put back before outputs decide, and before weights do."""
    path = EXAMPLES / "digits.tflite"
    before: list[bool] = []
    observed: list[int] = []

    def write_and_die(curve: Any, multiplier: float) -> None:
        jobs = list(curve.calibrated.jobs.values())
        assert curve.calibrated.copy.read() == path.read_bytes(), "nothing of an earlier attempt is left"
        curve.calibrated.clusterer.apply_all(jobs, [price * multiplier for price in curve.prices.values()])
        observed.append(curve.calibrated.observed)
        if curve.calibrated.observed:
            assert curve.calibrated.copy.spans > {job.weight.span for job in jobs}, "biases are shifted with real data"
        raise InterpreterFailure("it crashes")

    def look(task: Task) -> None:
        before.append(task.copy.read() == path.read_bytes() and not task.copy.spans)

    monkeypatch.setattr("tflite_cluster.search.curve.Curve.evaluate", write_and_die)
    monkeypatch.setattr("tflite_cluster.run.strategy.cluster_blind", look)
    result = digits(measure=False)
    assert before == [True]
    assert observed[0] > 0 == observed[1], "layers are observed, then outputs alone"
    assert "calibration failed: it crashes" in result.strategy.words


@pytest.mark.slow
def test_a_count_without_running_says_why() -> None:
    result = cluster(FOLDER / "custom_operator_float32.tflite", clusters=16, measure=False, force=True)
    assert "k-means on the weights alone (the original model cannot be run" in result.strategy.words
    assert "NobodyKnowsThis" in result.strategy.words
