"""A model without outputs: there is nothing to compare, so that its weights are clustered by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from support.operators import DENSE, one_operator

from tflite_cluster import FidelityError, ModelError, cluster, compare, sweep

SILENT = one_operator(DENSE, (1, 64), (128, 64), (1, 128), (8, {}), is_output=False)
CAUSE = "it has no outputs that could be compared"


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"clusters": 16}, {"store": "int8"}, {"max_size": "50%"}], ids=str)
def test_it_is_clustered_and_says_why_it_is_not_checked(settings: dict[str, Any]) -> None:
    result = cluster(SILENT, **settings)
    assert [tensor.clustered for tensor in result.tensors if tensor.role == "weight"] == [True]
    assert result.sizes is not None
    assert result.sizes.zip9.ratio > 3
    assert result.fidelity.status == "not checked"
    assert result.fidelity.cause is not None
    assert CAUSE in result.fidelity.cause
    assert CAUSE in result.strategy.words


def test_a_gate_on_its_fidelity_fails() -> None:
    with pytest.raises(FidelityError, match="min-sqnr"):
        cluster(SILENT, min_sqnr=20, measure=False)


def test_it_has_no_curve() -> None:
    with pytest.raises(ModelError, match=CAUSE):
        sweep(SILENT)


def test_compared_with_itself_nothing_is_proven() -> None:
    fidelity = compare(SILENT, SILENT).fidelity
    assert (fidelity.status, fidelity.outputs) == ("not checked", ())
    assert CAUSE in str(fidelity.cause)
