"""Feedback between the rows of a weight: errors of several outputs that cancel out on their way to the model's end.

How much errors e of a layer's outputs matter is eᵀ G e, with the second moments G = E[g gᵀ] of the gradients that come
back to them. With those of its inputs, H, an error E of the weights costs tr(Eᵀ G E H), the Kronecker factors of
Martens and Grosse (1503.05671). The best that one row can do then depends on the errors that others have made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from .histogram import Array, Floats, Indices, Reals

_RUNS: Final = 8
"""Runs of rows, each of which makes up for those before it: more of them save little more, and take longer."""


@dataclass(frozen=True)
class Coupling:
    """How the error of one row is made up for by those that come after it.

    order: the rows, those that matter most first, (rows,). factor: lower triangular V with G = Vᵀ V for them in that
    order, (rows, rows).
    """

    order: Indices
    factor: Floats

    @classmethod
    def of(cls, hessian: Array) -> Coupling:
        """From positive definite second moments of the gradients, (rows, rows)."""
        order = np.argsort(-np.diag(hessian), kind="stable")
        reverse = order[::-1]
        lower = np.linalg.cholesky(hessian[np.ix_(reverse, reverse)])
        return cls(order, np.ascontiguousarray(lower[::-1, ::-1].T, dtype=np.float32))

    def assign(
        self, weights: Reals, centroids: Array, scale: Array, assign: Callable[[Reals, Indices], Indices]
    ) -> Indices:
        """Index of a centroid for each of the weights (rows, columns).

        scale: real size of a unit in each row, (rows,). assign: finds the indices of some rows, for what those are to
        be by now and their numbers.
        """
        rows = len(weights)
        unit = scale[self.order, None].astype(np.float32)
        per_unit = np.divide(1, unit, out=np.zeros_like(unit), where=unit > 0)  # where a unit is nothing, none is owed
        aim = weights[self.order].astype(np.float32)
        indices = np.empty(weights.shape, np.intp)
        errors = np.empty(weights.shape, np.float32)
        book = centroids.astype(np.float32)
        edges = np.linspace(0, rows, min(_RUNS, rows) + 1).astype(int)
        for start, stop in pairwise(edges.tolist()):
            run = slice(start, stop)
            owed = np.linalg.solve(self.factor[run, run], self.factor[run, :start] @ errors[:start])
            found = assign(aim[run] + owed * per_unit[run], self.order[run])
            errors[run] = (aim[run] - book[found]) * unit[run]
            indices[self.order[run]] = found
        return indices

    def together(self, errors: Reals, count: int) -> Floats:
        """Independent errors of equal weight that those of the rows (rows, columns) come to: about `count` of them."""
        some = self.factor[:: -(-len(errors) // count)]
        return np.asarray(some @ errors[self.order].astype(np.float32))
