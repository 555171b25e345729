"""Float weights as int4 codes behind DEQUANTIZE, where those are worth the error that they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clustering.grid import LARGEST_INT4, Grid, OnGrid, int4_grid, int4_grid_of_count, int8_grid
from ..clustering.rate import Matrix, output_noise
from .encodings import SCALE_BITS, Assigned, Encoding, Int8Codes, OfCodes, Place

_SHARE_OF_FILE: Final = 0.25
"""Worth of a bit in the file, relative to a bit in its zip. int4 codes save four bits in the file for each weight."""

_VALUES: Final = 2 * LARGEST_INT4 + 1


@dataclass(frozen=True)
class Int4Codes(Encoding):
    """A float weight becomes int4 codes with one scale, or what Int8Codes makes of it.

    Both are compared by the error of rounding plus the price of the bits that they take in the zip and, at a lower
    rate, in the file. At equal error both take about as many bits in the zip.
    """

    place: Place
    otherwise: Int8Codes

    @classmethod
    def of(cls, place: Place) -> Int4Codes:
        """With a scale for each output channel where int8 codes are taken."""
        return cls(place, Int8Codes.of(place))

    @property
    def always_writes(self) -> bool:
        """Always: the type changes."""
        return True

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On the grid that costs less."""
        wide = int8_grid(matrix, price, self.otherwise.channels)
        narrow = int4_grid(matrix, price, wide)
        if narrow is None or _cost(narrow, price, 4) > _cost(wide, price, 8):
            return self.otherwise.assign_on(wide, matrix, price)
        return self._assigned(matrix, narrow.assigned(matrix))

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """On so many of the 15 values of a grid; on all of them for a count of 16, because int4 has 16 codes."""
        if clusters > _VALUES + 1:
            return self.otherwise.assign_count(matrix, clusters)
        return self._assigned(matrix, int4_grid_of_count(matrix, clusters))

    def _assigned(self, matrix: Matrix, grid: OnGrid) -> Assigned:
        return OfCodes(self.place, grid, output_noise(matrix, grid.error), "INT4")


def _cost(grid: Grid, price: float, bits: int) -> float:
    """Squared error, plus the price of the bits of all codes and scales. bits: size of a code in the file."""
    scales = 0 if len(set(grid.scale.tolist())) == 1 else len(grid.scale)
    rate = grid.codes.size * (grid.entropy + _SHARE_OF_FILE * bits) + scales * SCALE_BITS
    return grid.error + price * rate
