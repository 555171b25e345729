"""Assignment with error feedback: the rounding error of a weight is passed on to weights that are not yet assigned.

Optimal brain quantisation (Frantar et al., 2208.11580) in the column order and blocks of GPTQ (2210.17323, section 3),
with any codebook in place of a uniform grid. For a matrix W whose input has the second moments H = E[x xᵀ]:

1. Shrink H, so that directions that were hardly observed do not look free (`shrunk`).
2. Order the columns by falling diagonal of H, and factor the inverse as H⁻¹ = Uᵀ U, with U upper triangular.
3. Take the columns one by one. Assign each to its nearest centroids, and divide the error by the diagonal of U.
4. Subtract that error times the rest of the row of U from the columns that follow, in blocks of columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from .codebook import borders, nearest
from .coupling import Coupling
from .histogram import Array, Floats, Indices, Mask, Numbers, Reals, number_type, row_blocks
from .prior import Held

_BLOCK: Final = 64

_ROWS_MEASURED: Final = 32
"""Rows on which the error of the output is computed, of each part: for all of them it costs as much as assignment."""


def shrunk(hessian: Array, observations: float, floor: float) -> Array:
    """Second moments (parts, n, n) made fit for inversion.

    Few observations leave a null space that looks free and is not: off-diagonal entries shrink by
    observations / (observations + n), and the share `floor` of the mean diagonal is added. More is added where moments
    are no second moments of anything, because their sums were rounded: every eigenvalue becomes at least that share.
    """
    n = hessian.shape[-1]
    diagonal: Array = np.einsum("pii->pi", hessian)
    # A part that was never seen active still matters a little: an all-zero Hessian has no inverse.
    least = max(float(diagonal.mean()), float(np.finfo(np.float32).tiny)) * 1e-8
    mean = np.maximum(diagonal.mean(-1, keepdims=True), least)
    result: Array = hessian * (observations / (observations + n))
    np.einsum("pii->pi", result)[...] = diagonal + floor * mean
    if not _is_positive_definite(result):
        lowest = np.linalg.eigvalsh(result)[:, :1]
        np.einsum("pii->pi", result)[...] += np.maximum(floor * mean - lowest, 0.0)
    return result


def _is_positive_definite(matrices: Array) -> bool:
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True


@dataclass(frozen=True)
class Feedback:
    """How later columns make up for the rounding error of one column.

    Made of Hessians for `parts` blocks of a matrix: runs of its rows with all columns (down to single rows), or runs of
    its columns with all rows; the shapes tell which. `order` is (parts, n), `factor` (parts, n, n). `coupling`: that
    of the rows, where they all share these Hessians and it is known.
    """

    order: Indices
    factor: Floats
    coupling: Coupling | None = None

    @classmethod
    def of(cls, hessian: Array, coupling: Coupling | None = None) -> Feedback:
        """From positive definite Hessians (parts, n, n), as `shrunk` gives them."""
        order = np.argsort(-np.einsum("pii->pi", hessian), axis=1, kind="stable")
        part = np.arange(len(hessian))[:, None, None]
        factor = _inverse_factor(hessian[part, order[:, :, None], order[:, None, :]])
        return cls(order, factor.astype(np.float32), coupling)

    def assign(
        self, weights: Reals, centroids: Array, scale: Array, zeros: Mask | None = None, held: Held | None = None
    ) -> Numbers:
        """Number of a centroid (ascending) for each of the `weights` (rows, columns).

        Seeks the least output error E[|(W - C) x|²], whose Hessian is E[x xᵀ]. scale: real size of a unit in
        each row, (rows,), which matters only where rows are coupled. zeros: weights that get the centroid 0, which
        must exist, whatever errors are passed on to them, (rows, columns). held: centroids that weights had before.
        """
        if self.coupling is None:
            return self._assign(weights, centroids, zeros, held)

        def assign(values: Reals, rows: Indices) -> Numbers:
            pinned, kept = None if zeros is None else zeros[rows], None if held is None else held.part(rows)
            return self._assign(values, centroids, pinned, kept)

        return self.coupling.assign(weights, centroids, scale, assign)

    def _assign(self, weights: Reals, centroids: Array, zeros: Mask | None, held: Held | None) -> Numbers:
        rows, columns = weights.shape
        parts, n = self.order.shape
        if n == columns and parts == rows:
            return self._assign_rows(weights, centroids, zeros, None if held is None else held.in_order(self.order))
        indices = np.empty(weights.shape, number_type(len(centroids)))
        for part, place in enumerate(_places(weights.shape, parts, n)):
            mine, into = weights[place], indices[place]
            pinned = None if zeros is None else zeros[place]
            kept = None if held is None else held.part(*place).part(np.s_[:], self.order[part])
            for some in row_blocks(mine.shape):
                pin, keep = None if pinned is None else pinned[some], None if kept is None else kept.part(some)
                into[some] = self._assign_part(part, mine[some], centroids, pin, keep)
        return indices

    def output_error(self, aim: Reals, found: Reals, scale: Array) -> float:
        """E[|E x|²] for real errors E = (aim - found) scale of the weights, (rows, columns) and (rows,).

        With H⁻¹ = Uᵀ U that is the squared sum of E U⁻¹: what is passed on if nothing makes up for it. If rows are
        coupled, it is what their errors together come to. Some rows are measured and stand for all.
        """
        if self.coupling is not None:
            errors = self.coupling.together(aim, found, scale, _ROWS_MEASURED)
            return self._passed_on(errors, np.zeros(1, np.float32), np.ones(len(errors)))
        return self._passed_on(aim, found, scale)

    def _passed_on(self, aim: Reals, found: Reals, scale: Array) -> float:
        rows, columns = aim.shape
        parts, n = self.order.shape
        found = np.broadcast_to(found, aim.shape)
        if n == columns and parts == rows:
            errors = (aim - found) * scale[:, None]
            work = np.take_along_axis(errors, self.order, 1).astype(np.float32)
            return float(np.sum(np.square(np.linalg.solve(self.factor.transpose(0, 2, 1), work[..., None]))))
        total = 0.0
        for part, (some, columns_of_part) in enumerate(_places(aim.shape, parts, n)):
            height = len(range(rows)[some])
            measured = range(rows)[some][:: -(-height // _ROWS_MEASURED)]
            chosen = np.s_[measured.start : measured.stop : measured.step, columns_of_part]
            errors = (aim[chosen] - found[chosen]) * scale[chosen[0], None]
            work = np.ascontiguousarray(errors[:, self.order[part]].T, dtype=np.float32)
            total += _passed_on(work, self.factor[part])
        return total

    def _assign_part(
        self, part: int, weights: Reals, centroids: Array, zeros: Mask | None, held: Held | None
    ) -> Numbers:
        """Assign some rows of one part.

        Columns come first in memory, so that each step reads one row. Within a block, errors are passed on to a column
        only when its turn comes.
        """
        order, factor = self.order[part], self.factor[part]
        work = np.ascontiguousarray(weights[:, order].T, dtype=np.float32)
        book, middles = centroids.astype(np.float32), borders(centroids, work.dtype)
        indices = np.empty(work.shape, number_type(len(centroids)))
        pinned = None if zeros is None else zeros[:, order].T
        pin = np.searchsorted(centroids, 0.0)
        for start, stop in _blocks(len(work)):
            within = np.ascontiguousarray(factor[start:stop, start:stop].T)
            errors = np.empty((stop - start, work.shape[1]), np.float32)
            for j in range(stop - start):
                values = work[start + j]
                if j:
                    values -= within[j, :j] @ errors[:j]
                found = middles.searchsorted(values)
                if held is not None:
                    found = held.kept(values, found, book, start + j)
                if pinned is not None:
                    found[pinned[start + j]] = pin
                indices[start + j] = found
                values -= book[found]
                np.divide(values, within[j, j], out=errors[j])
            work[stop:] -= factor[start:stop, stop:].T @ errors
        result = np.empty(weights.shape, number_type(len(centroids)))
        result[:, order] = indices.T
        return result

    def _assign_rows(self, weights: Reals, centroids: Array, zeros: Mask | None, held: Held | None) -> Numbers:
        """All rows at once, each with its own Hessian; held: with columns in the order of assignment."""
        work = np.take_along_axis(weights, self.order, 1).astype(np.float32)
        pinned = None if zeros is None else np.take_along_axis(zeros, self.order, 1)
        book = centroids.astype(np.float32)
        indices = np.empty(work.shape, number_type(len(centroids)))
        for j in range(work.shape[1]):
            found = nearest(work[:, j], centroids)
            if held is not None:
                found = held.kept(work[:, j], found, book, j)
            indices[:, j] = _or_zero(found, centroids, None if pinned is None else pinned[:, j])
            error = (work[:, j] - book[indices[:, j]]) / self.factor[:, j, j]
            work[:, j + 1 :] -= error[:, None] * self.factor[:, j, j + 1 :]
        result = np.empty_like(indices)
        np.put_along_axis(result, self.order, indices, 1)
        return result


def _or_zero(indices: Indices, centroids: Array, zeros: Mask | None) -> Indices:
    """The indices, where each of the `zeros` gets the index of the centroid 0."""
    if zeros is not None:
        indices[zeros] = np.searchsorted(centroids, 0.0)
    return indices


def _blocks(columns: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _BLOCK, columns)) for start in range(0, columns, _BLOCK))


def _passed_on(work: Floats, factor: Floats) -> float:
    """The squared error of the output for weight errors `work` (n, any), summed over the columns; overwrites `work`."""
    total = 0.0
    for start, stop in _blocks(len(work)):
        errors = np.linalg.solve(factor[start:stop, start:stop].T, work[start:stop])
        work[stop:] -= factor[start:stop, stop:].T @ errors
        total += float(np.sum(np.square(errors)))
    return total


def corrected(weights: Array, hessian: Array, cross: Array) -> Array:
    """The weights (rows, columns) that make the most of inputs x̂ that have drifted from the original's x.

    They minimise E[|W x - W' x̂|²]: W' = W + W E[(x - x̂) x̂ᵀ] H⁻¹, with H = E[x̂ x̂ᵀ] and the cross moments both
    (parts, n, n). GPTAQ (2504.02692) corrects for the same drift.
    """
    parts, n, _ = hessian.shape
    if n == weights.shape[1] and parts == len(weights):
        change = np.einsum("rc,rcd->rd", weights, cross)
        return np.asarray(weights + np.linalg.solve(hessian, change[..., None])[..., 0])
    result: Array = weights.copy()
    for part, place in enumerate(_places(weights.shape, parts, n)):
        result[place] += np.linalg.solve(hessian[part], (weights[place] @ cross[part]).T).T
    return result


def _places(shape: tuple[int, ...], parts: int, n: int) -> Iterator[tuple[slice, slice]]:
    """Where each part lies in a matrix of that shape: a run of its rows, or of its columns."""
    rows, columns = shape
    for part in range(parts):
        if n == columns:
            yield np.s_[part * rows // parts : (part + 1) * rows // parts, :]
        else:
            yield np.s_[:, part * n : (part + 1) * n]


def _inverse_factor(hessian: Array) -> Array:
    """Upper triangular U with H⁻¹ = Uᵀ U for positive definite H (..., n, n): its row j is the feedback of column j."""
    # The factor of H reversed gives U without forming H⁻¹.
    lower = np.asarray(np.linalg.cholesky(hessian[..., ::-1, ::-1]), np.float64)
    return _inverse_of_lower(lower)[..., ::-1, ::-1]


def _inverse_of_lower(lower: Array) -> Array:
    """The inverse of lower triangular matrices (..., n, n), by halves: an eighth of the work of a general inverse."""
    n = lower.shape[-1]
    if n <= _BLOCK:
        return np.asarray(np.linalg.inv(lower))
    half = n // 2
    inverse = np.zeros_like(lower)
    first = inverse[..., :half, :half] = _inverse_of_lower(lower[..., :half, :half])
    last = inverse[..., half:, half:] = _inverse_of_lower(lower[..., half:, half:])
    inverse[..., half:, :half] = -last @ (lower[..., half:, :half] @ first)
    return inverse
