from __future__ import annotations

import time
from collections import Counter

import pytest
from support.mutations import outcome

BATCH = 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 300, BATCH))
def test_a_damaged_model_is_refused_or_clustered_where_it_says(first: int) -> None:
    outcomes = Counter[str]()
    for number in range(first, first + BATCH):
        start = time.process_time()
        try:
            outcomes[outcome(number)] += 1
        except Exception as error:
            raise AssertionError(f"mutant {number}") from error
        assert time.process_time() - start < 5, f"mutant {number}"
    assert outcomes.keys() == {"clustered", "ModelError"}, "damage that always ends in the same way shows nothing"
