"""Weights as indices of one width into a table of values, as microcontrollers unpack them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..clustering.rate import Matrix, Priced, cluster_on, codebook_of_count, output_noise, rounding_error
from ..model.patch import PatchedCopy
from .encodings import Assigned, BiasChange, Encoding, Place, SameCodes


@dataclass(frozen=True)
class TableCodes(Encoding):
    """The weight keeps its type and its scales, and gets as many values as its error is worth.

    bits: bits per weight of indices and tables together, by the number of values. bits_unclustered: without a table.
    """

    place: Place
    bits: Mapping[int, float]
    bits_unclustered: float

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On the best codebook of the number of values that costs least; unchanged where no number costs less."""
        weights, most = matrix.codes.size, matrix.power * 10 ** (-matrix.least_sqnr / 10)
        best, cost = None, price * weights * self.bits_unclustered
        for values, bits in self.bits.items():
            book = codebook_of_count(matrix, values)
            error = rounding_error(matrix.histogram, book) * matrix.square_scale
            if error <= most and error + price * weights * bits < cost:
                best, cost = (book, bits), error + price * weights * bits
        if best is None:
            return _InTable(self.place, Priced(matrix.codes, self.bits_unclustered, 0.0, None, None), BiasChange(None))
        priced = replace(cluster_on(matrix, best[0]), entropy=best[1])
        return _InTable(self.place, priced, BiasChange(output_noise(matrix, priced.error)))

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """On the best codebook of so many values."""
        return SameCodes(self.place).assign_count(matrix, clusters)


@dataclass(frozen=True)
class _InTable:
    place: Place
    priced: Priced
    change: BiasChange

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write the codes."""
        self.place.write(copy, self.priced.codes)
        return self.change
