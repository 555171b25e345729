"""LiteRT-LM files to put models into."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import flatbuffers

BLOCK = 16 * 1024
MODEL, TOKENIZER, METADATA = 3, 4, 5
_TEXT = 9


@dataclass(frozen=True)
class Part:
    """A section. kind: number of the format. notes: pairs of text about it. gap: blocks that stay free behind it."""

    content: bytes
    kind: int = MODEL
    notes: dict[str, str] = field(default_factory=dict)
    gap: int = 0


def litertlm(parts: list[Part], version: int = 1, filler: int = 0) -> bytes:
    """The bytes of a file with these sections. filler: the byte between them."""
    spans: list[tuple[int, int]] = [(1, 1)] * len(parts)
    at = up_to_block(32 + len(_header(parts, spans)))
    for number, part in enumerate(parts):
        spans[number] = at, at + len(part.content)
        at = up_to_block(at + len(part.content)) + part.gap * BLOCK
    header = _header(parts, spans)
    made = bytearray([filler]) * max((stop for _, stop in spans), default=at)
    made[: 32 + len(header)] = struct.pack("<8s3I4xQ", b"LITERTLM", version, 7, 0, 32 + len(header)) + header
    for part, (start, stop) in zip(parts, spans, strict=True):
        made[start:stop] = part.content
    return bytes(made)


def up_to_block(offset: int) -> int:
    return -(-offset // BLOCK) * BLOCK


def _header(parts: list[Part], spans: list[tuple[int, int]]) -> bytes:
    builder = flatbuffers.Builder(0)
    sections = _vector(builder, [_section(builder, part, *span) for part, span in zip(parts, spans, strict=True)])
    listed = _table(builder, {0: sections})
    about = _table(builder, {0: _vector(builder, [_note(builder, "author", "tests")])})
    builder.Finish(_table(builder, {0: about, 1: listed}))
    return bytes(builder.Output())


def _section(builder: flatbuffers.Builder, part: Part, start: int, stop: int) -> int:
    notes = _vector(builder, [_note(builder, key, value) for key, value in part.notes.items()])
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, notes, 0)
    builder.PrependUint64Slot(1, start, 0)
    builder.PrependUint64Slot(2, stop, 0)
    builder.PrependUint8Slot(3, part.kind, 0)
    return int(builder.EndObject())


def _note(builder: flatbuffers.Builder, key: str, value: str) -> int:
    name = builder.CreateString(key)
    text = _table(builder, {0: builder.CreateString(value)})
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint8Slot(1, _TEXT, 0)
    builder.PrependUOffsetTRelativeSlot(2, text, 0)
    return int(builder.EndObject())


def _table(builder: flatbuffers.Builder, offsets: dict[int, int]) -> int:
    builder.StartObject(len(offsets))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
