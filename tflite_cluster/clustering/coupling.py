"""Feedback between the rows of a weight: errors of several outputs that cancel out on the way to the model's outputs.

With the second moments G = E[g gᵀ] of the gradients at a layer's outputs, errors e of these cost eᵀ G e. With those of
its inputs, H, an error E of the weights costs tr(Eᵀ G E H), the Kronecker factors of Martens and Grosse (1503.05671).

1. Order the rows by falling diagonal of G, and factor it as G = Vᵀ V, with V lower triangular.
2. Take the rows in a few runs. Compute what each row of a run should be, given the errors of all rows before it.
3. Assign the run with feedback along its columns, and note its errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from .histogram import Array, Floats, Indices, Numbers, Reals, looked_up, number_type, row_blocks

_RUNS: Final = 8
"""Runs of rows, each of which makes up for those before it: more of them save little more, and take longer."""


@dataclass(frozen=True)
class Coupling:
    """How later rows make up for the error of one row.

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
        self, weights: Reals, centroids: Array, scale: Array, assign: Callable[[Reals, Indices], Numbers]
    ) -> Numbers:
        """Number of a centroid for each of the weights (rows, columns).

        scale: real size of a unit in each row, (rows,). assign: finds the centroids of some
        rows, from the values that they should have by now and the numbers of the rows.
        """
        rows = len(weights)
        unit = scale[self.order, None].astype(np.float32)
        per_unit = np.divide(1, unit, out=np.zeros_like(unit), where=unit > 0)  # where a unit is nothing, none is owed
        aim = weights[self.order].astype(np.float32)
        indices = np.empty(weights.shape, number_type(len(centroids)))
        errors = np.empty(weights.shape, np.float32)
        book = centroids.astype(np.float32)
        edges = np.linspace(0, rows, min(_RUNS, rows) + 1).astype(int)
        for start, stop in pairwise(edges.tolist()):
            run = slice(start, stop)
            owed = np.linalg.solve(self.factor[run, run], self.factor[run, :start] @ errors[:start])
            found = assign(aim[run] + owed * per_unit[run], self.order[run])
            errors[run] = (aim[run] - looked_up(book, found)) * unit[run]
            indices[self.order[run]] = found
        return indices

    def together(self, aim: Reals, found: Reals, scale: Array, count: int) -> Floats:
        """About `count` independent errors of equal weight, which stand for those of all rows.

        The errors are (aim - found) scale, of shapes (rows, columns) and (rows,).
        """
        some = self.factor[:: -(-len(aim) // count)]
        total = np.zeros((len(some), aim.shape[1]), np.float32)
        for run in row_blocks(aim.shape):
            rows = self.order[run]
            errors = (aim[rows] - found[rows]) * scale[rows, None]
            total += some[:, run] @ errors.astype(np.float32)
        return total
