"""How the values of a weight come to stand in the file: one small type for each way.

An encoding assigns the weights of a matrix to a codebook, at a price per bit or to a number of values. What it assigned
knows how to write itself into the copy, and what the bias has to make up for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from ..clustering.grid import Grid, OnGrid, grid_at_price, grid_of_count, int8_grid
from ..clustering.histogram import Array
from ..clustering.rate import Matrix, Priced, cluster_at_price, cluster_to_count, output_noise
from ..model.groups import Groups
from ..model.layers import as_flat
from ..model.patch import PatchedCopy
from ..model.scales import ScaleVectors
from ..model.storing.store import Stored
from ..model.verify import Span
from ..model.weight import Weight

_FLOAT_BITS: Final = 1.9
"""Bits that deflate spends on a float32 word beyond the entropy of the words."""

SCALE_BITS: Final = 32
"""Bits of a scale, if it is not that of other channels too."""


@dataclass(frozen=True)
class Place:
    """Where a weight stands in the file, and the rows that its matrix has."""

    weight: Weight
    rows: Groups

    def write(self, copy: PatchedCopy, codes: npt.NDArray[Any], stored: Stored | None = None) -> None:
        """Write codes (rows, columns). stored: the integer codes that are to stand for them."""
        span = self.weight.span
        original = copy.model.bytes_of(span)
        copy.write(span, self.weight.storage.encode(as_flat(codes, self.rows), original), stored)


@dataclass(frozen=True)
class BiasChange:
    """What the bias of a layer has to make up for. None in both fields: the original bias serves."""

    noise: Array | None
    """Variance in each output row that comes of the error of one weight, (rows,); the bias need not be more exact."""
    scale: npt.NDArray[np.float32] | None = None
    """New real size of the codes of the bias, (rows,); None where it stays."""


class Assigned(Protocol):
    """A weight on its codebook."""

    @property
    def priced(self) -> Priced:
        """Codes, rate and error."""

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write it into the copy."""


class Encoding(ABC):
    """A way of writing a weight."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Places that it writes besides that of the weight."""
        return ()

    @property
    def always_writes(self) -> bool:
        """Whether a weight is written even if it has few enough values already."""
        return False

    @abstractmethod
    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """Cluster at a price in squared real units per bit."""

    @abstractmethod
    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """Cluster to at most so many values."""


Encode = Callable[[Weight, Groups], Encoding]
"""Chooses the encoding of a weight whose matrix has these rows."""


@dataclass(frozen=True)
class SameCodes(Encoding):
    """The weight keeps its type and its scales."""

    place: Place

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On the codebook that the price calls for."""
        return self._assigned(matrix, cluster_at_price(matrix, price))

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """On the best codebook of so many values."""
        return self._assigned(matrix, cluster_to_count(matrix, clusters))

    def _assigned(self, matrix: Matrix, priced: Priced) -> Assigned:
        return _OfSameCodes(self.place, priced, output_noise(matrix, priced.error))


@dataclass(frozen=True)
class _OfSameCodes:
    place: Place
    priced: Priced
    noise: Array | None

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write the codes."""
        self.place.write(copy, self.priced.codes)
        return BiasChange(self.noise)


@dataclass(frozen=True)
class RescaledCodes(Encoding):
    """The weight stays int8, and gets other scales where those save more than they cost."""

    place: Place
    vectors: ScaleVectors

    @property
    def spans(self) -> tuple[Span, ...]:
        """The vectors of scales, and of ranges where the file has them."""
        return self.vectors.spans

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On a grid no finer than that of its own scales."""
        return self.assign_on_grid(matrix, price)

    def assign_on_grid(self, matrix: Matrix, price: float) -> OfRescaledCodes:
        """The same, as a type that shows the grid."""
        grid = grid_at_price(matrix.real, price, len(matrix.codes), finest=matrix.scale)
        return OfRescaledCodes(self, grid, matrix.scale, output_noise(matrix.real, grid.error))

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """With the scales that it has: the best values for a number are not evenly spaced."""
        return SameCodes(self.place).assign_count(matrix, clusters)


@dataclass(frozen=True)
class OfRescaledCodes:
    """A weight on a grid with other scales."""

    encoding: RescaledCodes
    grid: OnGrid
    scale_before: Array
    noise: Array | None

    @property
    def priced(self) -> Priced:
        """In real values."""
        return self.grid.priced

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write codes and scales; the original scales where they stay."""
        vectors = self.encoding.vectors
        self.encoding.place.write(copy, self.grid.codes)
        scale = np.broadcast_to(self.grid.scale, len(self.scale_before))
        if np.array_equal(scale, self.scale_before):
            for span in vectors.spans:
                copy.restore(span)
            return BiasChange(self.noise)
        for span, content in vectors.contents(scale):
            copy.write(span, content)
        return BiasChange(self.noise, vectors.bias_scale(scale))


@dataclass(frozen=True)
class Int8Codes(Encoding):
    """A float weight becomes int8 codes behind DEQUANTIZE, unless its channels are too far apart for those to pay.

    channels: how many equal runs of rows may have a scale.
    """

    place: Place
    channels: int

    @classmethod
    def of(cls, place: Place) -> Int8Codes:
        """One scale for each output channel where those are runs of the rows."""
        channels, rows = place.weight.channels, place.rows
        runs = rows.outer == channels.outer == 1 and channels.inner % rows.inner == 0
        return cls(place, channels.groups if rows == channels or runs else 1)

    @property
    def always_writes(self) -> bool:
        """Always: the type changes."""
        return True

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On a grid, or as float words where those take fewer bits for the same error."""
        return self.assign_on(int8_grid(matrix, price, self.channels), matrix, price)

    def assign_on(self, rounded: Grid, matrix: Matrix, price: float) -> Assigned:
        """The same, from the grid that `int8_grid` gives at this price."""
        grid = rounded.assigned(matrix)
        if len(grid.scale) == 1:
            return self._assigned(matrix, grid)
        free = cluster_at_price(matrix, price)
        count, scales = matrix.codes.size, len(np.unique(grid.scale))
        words, codes = count * (free.entropy + _FLOAT_BITS), count * grid.entropy + scales * SCALE_BITS
        if free.error + price * words < grid.error + price * codes:
            return _OfSameCodes(self.place, free, output_noise(matrix, free.error))
        return self._assigned(matrix, grid)

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """On so many of the 255 values of a grid."""
        return self._assigned(matrix, grid_of_count(matrix, clusters))

    def _assigned(self, matrix: Matrix, grid: OnGrid) -> Assigned:
        return OfCodes(self.place, grid, output_noise(matrix.real, grid.error))


@dataclass(frozen=True)
class OfCodes:
    """A float weight as codes of a type that `Stored` knows."""

    place: Place
    grid: OnGrid
    noise: Array | None
    type: str = "INT8"

    @property
    def priced(self) -> Priced:
        """In real values."""
        return self.grid.priced

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write the real values, and the codes that are to stand for them."""
        weight, grid = self.place.weight, self.grid
        shape = weight.tensor.shape
        axis = None if len(grid.scale) == 1 else weight.users[0].axis % len(shape)
        codes = as_flat(grid.codes, self.place.rows).reshape(shape)
        self.place.write(copy, grid.values, Stored.of(weight, codes, grid.scale, axis, self.type))
        return BiasChange(self.noise)
