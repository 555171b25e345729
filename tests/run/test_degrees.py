"""Models that the interpreter runs in part: what can be observed is used, and what cannot be is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.partly_runnable import deep, lone_signature, two_signatures, upsampling

from tflite_cluster import cluster, compare
from tflite_cluster.calibration.observability import Observability, find_kernels, find_observability
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.interpreter.process import InterpreterProcess, Limits
from tflite_cluster.interpreter.runtime import Kernels
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.result import FidelityError

SMALL = 280 << 20
"""Bytes of memory in which `deep(200, 128)` runs, but not beside its copy with all tensors of both kept."""


@pytest.mark.slow
def test_an_operator_that_only_the_default_delegate_runs_leaves_calibration_in_place() -> None:
    result = cluster(upsampling(), measure=False)
    search = result.strategy.search
    assert search is not None
    assert search.chosen is not None
    assert search.floor is None
    assert search.observed == 2
    (left_out,) = result.strategy.left_out
    assert left_out.startswith("the noise floor is not known")
    assert "Convolution2DTransposeBias" in left_out
    assert result.fidelity.status == "checked"
    assert all(output.sqnr_db is not None and output.sqnr_db > 20 for output in result.fidelity.outputs)


@pytest.mark.slow
def test_where_layers_take_too_much_memory_outputs_decide() -> None:
    result = cluster(deep(200, 128), measure=False, memory=SMALL, force=True)
    search = result.strategy.search
    assert search is not None
    assert search.chosen is not None
    assert search.observed == 0
    assert search.chosen.quality.expected_loss is None, "the scores before the softmax are out of sight"
    assert any("the layers cannot be observed" in words for words in result.strategy.left_out)
    assert result.fidelity.status == "checked"


@pytest.mark.slow
def test_a_signature_that_does_not_run_leaves_the_others_in_place() -> None:
    content = two_signatures("NobodyKnowsThis")
    result = cluster(content, measure=False, force=True)
    assert result.strategy.search is not None
    assert result.strategy.search.chosen is not None
    assert result.strategy.search.observed == 1
    (left_out,) = result.strategy.left_out
    assert "signature 'other' cannot be run" in left_out
    assert {output.signature for output in result.fidelity.outputs} == {"plain"}
    plain, other = result.tensors[:2]
    assert plain.clustered
    assert other.sqnr is not None
    assert 25 < other.sqnr < 40, "nothing tells what it is worth: it is clustered with care"


@pytest.mark.slow
def test_a_gate_needs_all_signatures() -> None:
    with pytest.raises(FidelityError, match="signature 'other' cannot be run"):
        cluster(two_signatures("NobodyKnowsThis"), measure=False, force=True, min_sqnr=20)


@pytest.mark.slow
def test_models_are_compared_on_the_signatures_that_run() -> None:
    content = two_signatures("NobodyKnowsThis")
    found = compare(content, content)
    assert found.fidelity.status == "checked"
    assert any("signature 'other' cannot be run" in note for note in found.notes)


@pytest.mark.slow
def test_weights_that_nothing_runs_are_put_back_with_the_others() -> None:
    content = two_signatures("NobodyKnowsThis")
    result = cluster(content, measure=False, force=True, clusters=8)
    assert result.model is not None
    counts = [
        len(
            np.unique(
                weight.storage.decode(memoryview(result.model)[weight.span.start : weight.span.stop], weight.count)
            )
        )
        for weight in select(open_model(result.model))[0]
    ]
    assert counts == [8, 8]


@pytest.mark.slow
def test_what_is_seen_under_which_kernels(tmp_path: Path) -> None:
    path, other = tmp_path / "deep.tflite", tmp_path / "other.tflite"
    for each in (path, other):
        each.write_bytes(deep(200, 128))
    sample = {"x": np.zeros((1, 1, 128, 128, 1), np.float32)}
    with InterpreterProcess(Limits(timeout=60, memory=SMALL)) as process:
        assert find_kernels(process, path, {None: sample}, 1).kernels is Kernels.DEFAULT
        found = find_observability(process, [path, other], None, sample, Kernels.DEFAULT, 1)
        assert (found.keeps, found.layers) == (False, None)
        assert "memory" in found.cause
    with InterpreterProcess(Limits(timeout=60, memory=None)) as process:
        assert find_observability(process, [path], None, sample, Kernels.DEFAULT, 1) == Observability()


@pytest.mark.slow
def test_a_model_that_does_not_run_at_all_says_what_the_default_kernels_said(tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(two_signatures("NobodyKnowsThis"))
    sample = {"x": np.zeros((1, 1, 48), np.float32)}
    with InterpreterProcess(Limits(timeout=60, memory=None)) as process:
        assert list(find_kernels(process, path, {"plain": sample, "other": sample}, 1).failures) == ["other"]
        with pytest.raises(InterpreterFailure, match="NobodyKnowsThis"):
            find_kernels(process, path, {"other": sample}, 1)


@pytest.mark.slow
def test_a_signature_without_outputs_does_not_hide_the_graph_that_runs() -> None:
    """The interpreter then runs the first subgraph by itself, which the signature names too."""
    result = cluster(lone_signature(), measure=False, force=True)
    assert result.strategy.search is not None
    assert result.fidelity.verdict == "plausible"
