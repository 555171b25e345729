"""The protocols that every kind of bundle follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

from ..deflate import Sink

IDENTIFIER: Final = b"TFL3"
"""What a model holds from its fifth byte on."""


class Entry(Protocol):
    """One file in a bundle; equal to no other one."""

    @property
    def name(self) -> str:
        """Its name, which may be one that no file can have."""

    @property
    def start(self) -> int:
        """Where its data begins in the bundle."""

    @property
    def stop(self) -> int:
        """Where its data ends."""


E = TypeVar("E", bound=Entry)


class Bundle(Protocol[E]):
    """A file that holds others: all its bytes, and its entries in the order of their data."""

    keeps_lengths: bool
    """Whether new contents have to be as long as the old ones."""

    without_models: str | None
    """What to say where it holds no model; None to name the kind of file instead."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def data(self) -> memoryview:
        """All its bytes."""

    @property
    def entries(self) -> tuple[E, ...]:
        """What it holds."""

    def is_model(self, entry: E) -> bool:
        """Whether an entry is a model, which gets clustered."""

    def begin(self, entry: E, most: int) -> bytes:
        """The first bytes of an entry, at most so many; raises ModelError as `unpack` does."""

    def unpack(self, entry: E, sink: Sink) -> None:
        """Write the content of an entry, in little memory whatever its size; raises ModelError if it is damaged."""

    def write(self, contents: Mapping[E, bytes], sink: Sink) -> None:
        """Write the bundle with new contents of some entries; raises ModelError if they do not fit in."""


class Container(Protocol):
    """One kind of bundle."""

    starts: bytes
    """What its files begin with."""

    suffix: str
    """How a bundle of this kind is called that is opened inside another one."""

    def read(self, data: memoryview, label: str) -> Bundle[Any]:
        """Find the entries; raises ModelError if the bundle is damaged, or of a kind that cannot be written again."""
