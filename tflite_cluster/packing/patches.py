"""Differs, which make a patch from an old file to a new one: one record each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

EXTRA: Final = "updates"
"""The extra that installs the packages of all differs."""

_ZSTD_LEVEL: Final = 19
_ZSTD_WINDOWS: Final = 10, 31
"""Least and largest base-2 logarithm of a window."""


@dataclass(frozen=True)
class Differ:
    """A way to make a patch.

    name: its key in reports. words: its name for people. make: gives the patch from the old content and the new.
    package: what must be installed besides.
    """

    name: str
    words: str
    make: Callable[[bytes, bytes], bytes]
    package: str

    @property
    def is_available(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None


def _bsdiff(old: bytes, new: bytes) -> bytes:
    import bsdiff4

    return bytes(bsdiff4.diff(old, new))


def _zstd(old: bytes, new: bytes) -> bytes:
    """The old content is a dictionary within the window, as `zstd --patch-from` has it."""
    import zstandard

    least, most = _ZSTD_WINDOWS
    window = min(max((len(old) + len(new)).bit_length(), least), most)
    parameters = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, window_log=window)
    base = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=base, compression_params=parameters).compress(new)


DIFFERS: Final = {
    differ.name: differ
    for differ in (
        Differ("bsdiff", "bsdiff", _bsdiff, "bsdiff4"),
        Differ("zstd", "zstd --patch-from", _zstd, "zstandard"),
    )
}
"""All differs by name, in the order of reports."""


def patch_sizes(old: bytes, new: bytes) -> Mapping[str, int | None]:
    """Bytes of the patch by each differ, by the names of DIFFERS; None where its package is not installed."""
    return {name: len(differ.make(old, new)) if differ.is_available else None for name, differ in DIFFERS.items()}
