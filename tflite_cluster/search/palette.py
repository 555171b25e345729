"""Int8 weights whose cost is the bits of palette indices, as a chip reads them, instead of the bits of a zip."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..clustering.palette import cluster_in_palette, code_bits
from ..clustering.rate import Matrix, Priced, output_noise
from ..model.patch import PatchedCopy
from ..model.scales import ScaleVectors
from ..model.verify import Span
from .encodings import Assigned, BiasChange, Encoding, Place, RescaledCodes, SameCodes


@dataclass(frozen=True)
class PaletteCodes(Encoding):
    """The weight stays int8, in as few bits of palette indices as its error is worth.

    vectors: its scales, where they can grow; None where they have to stay.
    """

    place: Place
    vectors: ScaleVectors | None

    @property
    def spans(self) -> tuple[Span, ...]:
        """The vectors of scales, and of ranges where the file has them."""
        return () if self.vectors is None else self.vectors.spans

    def assign(self, matrix: Matrix, price: float) -> Assigned:
        """On values of its own codes, or on a grid with other scales where those cost less."""
        priced = cluster_in_palette(matrix, price)
        same = self._with_own_scales(matrix, priced, _bits(matrix, priced))
        if self.vectors is None:
            return same
        rescaled = RescaledCodes(self.place, self.vectors).assign_on_grid(matrix, price)
        bits = code_bits(rescaled.grid.codes)
        count = matrix.codes.size
        if rescaled.grid.error + price * count * bits < same.priced.error + price * count * same.priced.entropy:
            return replace(rescaled, grid=replace(rescaled.grid, entropy=bits))
        return same

    def assign_count(self, matrix: Matrix, clusters: int) -> Assigned:
        """On the best codebook of so many values."""
        return SameCodes(self.place).assign_count(matrix, clusters)

    def _with_own_scales(self, matrix: Matrix, priced: Priced, bits: float) -> _InPalette:
        noise = output_noise(matrix, priced.error)
        return _InPalette(self, replace(priced, entropy=bits), BiasChange(noise))


def _bits(matrix: Matrix, priced: Priced) -> float:
    return code_bits(priced.codes.astype(int) - matrix.zero)


@dataclass(frozen=True)
class _InPalette:
    encoding: PaletteCodes
    priced: Priced
    change: BiasChange

    def write(self, copy: PatchedCopy) -> BiasChange:
        """Write the codes; the scales are those of the original."""
        self.encoding.place.write(copy, self.priced.codes)
        for span in self.encoding.spans:
            copy.restore(span)
        return self.change
