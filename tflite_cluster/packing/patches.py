"""Differs, which make a patch from an old file to a new one: one record each."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

EXTRA: Final = "updates"
"""The extra that installs the packages of all differs."""

_ZSTD_LEVEL: Final = 19
_ZSTD_WINDOWS: Final = 10, 31
"""Least and largest base-2 logarithm of a window."""

_SECONDS: Final = 60.0
_SECONDS_FOR_BYTE: Final = 3e-6
"""For 4 MB of clustered weights, bsdiff takes 1.7 s and zstd 6.7 s, but bsdiff takes quadratic time for long runs of
one byte: 0.6 s for 200 kB of zeros, and over ten minutes for 3 MB."""

_START: Final = """
import pickle, signal, sys
sys.path[:], name, old, new, seconds = pickle.load(sys.stdin.buffer)
if hasattr(signal, "alarm"):
    signal.alarm(int(seconds) + 2)
from tflite_cluster.packing.patches import DIFFERS
print(len(DIFFERS[name].make(old, new)))
"""
"""What a process does that makes a patch; the alarm ends it if its caller was killed."""


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
    """Bytes of the patch by each differ, by the names of DIFFERS.

    None for a differ whose package is not installed, or that takes too long or too much memory.
    """
    return {name: _patch_size(differ, old, new) if differ.is_available else None for name, differ in DIFFERS.items()}


def _patch_size(differ: Differ, old: bytes, new: bytes) -> int | None:
    """Bytes of the patch; a process of its own makes it, which can be ended, and may run out of memory."""
    seconds = _SECONDS + _SECONDS_FOR_BYTE * (len(old) + len(new))
    content = pickle.dumps((sys.path, differ.name, old, new, seconds), pickle.HIGHEST_PROTOCOL)
    command = [sys.executable, "-c", _START]
    try:
        done = subprocess.run(
            command, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return int(done.stdout)
