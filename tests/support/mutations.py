"""Damaged and hostile models, the same ones each time, and what the package may do with one of them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Final

from tflite_cluster import TfliteClusterError, cluster
from tflite_cluster.config import Granularity

from .crafting import craft
from .fixture_models import MODELS

WORDS: Final = (0, 1, 2, 3, 4, 8, 16, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0, 0xFFFFFFFC, 0xFFFFFFFF)

Mutation = Callable[[random.Random, bytearray], None]


def _truncate(dice: random.Random, data: bytearray) -> None:
    del data[dice.randrange(len(data)) :]


def _flip_bits(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _flip_bits_of_the_structure(dice: random.Random, data: bytearray) -> None:
    """In the first and last parts of the file, where tables stand and weights do not."""
    for _ in range(dice.choice((1, 2, 4))):
        position = dice.randrange(min(len(data), 600))
        data[dice.choice((position, -1 - position))] ^= 1 << dice.randrange(8)


def _overwrite_words(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.choice((1, 1, 2, 4))):
        _put(data, _word_position(dice, data), dice.choice(WORDS))


def _point_at_the_far_end(dice: random.Random, data: bytearray) -> None:
    """Eight bytes such as the offset of a buffer may be, near 2^64."""
    position = _word_position(dice, data)
    data[position : position + 8] = struct.pack("<Q", 2**64 - dice.choice((1, 16, 64, 4096)))


def _nudge_words(dice: random.Random, data: bytearray) -> None:
    """Numbers that are only slightly wrong lead to overlaps and to neighbours."""
    for _ in range(dice.choice((1, 2, 4))):
        position = _word_position(dice, data)
        (word,) = struct.unpack_from("<I", data, position)
        _put(data, position, (word + dice.choice((-16, -4, -2, -1, 1, 2, 4, 16))) % 2**32)


def _swap_words(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.choice((1, 2, 8))):
        first, second = _word_position(dice, data), _word_position(dice, data)
        data[first : first + 4], data[second : second + 4] = data[second : second + 4], data[first : first + 4]


def _repeat_a_region(dice: random.Random, data: bytearray) -> None:
    start = dice.randrange(len(data))
    region = data[start : start + dice.choice((4, 16, 64, 1024))]
    data[start:start] = region * dice.choice((1, 2, 16))


def _splice(dice: random.Random, data: bytearray) -> None:
    other = dice.choice(MODELS).read_bytes()
    cut = dice.randrange(len(data))
    data[cut:] = other[min(cut, len(other)) :] or other


def _copy_a_region_of_another(dice: random.Random, data: bytearray) -> None:
    other = dice.choice(MODELS).read_bytes()
    start = dice.randrange(min(len(data), len(other)))
    region = other[start : start + dice.choice((4, 64, 1024))]
    data[start : start + len(region)] = region


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _truncate,
    _flip_bits,
    _flip_bits_of_the_structure,
    _overwrite_words,
    _point_at_the_far_end,
    _nudge_words,
    _swap_words,
    _repeat_a_region,
    _splice,
    _copy_a_region_of_another,
)


def _word_position(dice: random.Random, data: bytearray) -> int:
    """A multiple of four, in half of the cases near either end of the file, where tables stand."""
    words = max(len(data) // 4 - 1, 1)
    near = dice.randrange(min(words, 150))
    return 4 * dice.choice((dice.randrange(words), dice.randrange(words), near, words - 1 - near))


def _put(data: bytearray, position: int, word: int) -> None:
    data[position : position + 4] = struct.pack("<I", word)


def _bomb(dice: random.Random) -> bytes:
    """Few bytes, many references to the same tables; some within the bounds of what is read."""
    references = dice.choice((10, 100, 300, 2_000, 20_000, 130_000))
    tensor = {"name": b"again", "buffer": 0}
    graph = {"tensors": [tensor] * references, "operators": [{"opcode_index": 0}] * dice.choice((0, references))}
    model = {"operator_codes": [{}], "subgraphs": [graph] * dice.choice((1, references)), "buffers": [{}]}
    return craft(model) + bytes(dice.choice((0, 2**16, 2**20)))


def mutant(number: int) -> bytes:
    """The hostile file of this number: one in fifty a bomb of tables, else a fixture changed a few times."""
    dice = random.Random(number)
    if number % 50 == 0:
        return _bomb(dice)
    data = bytearray(dice.choice(MODELS).read_bytes())
    for _ in range(dice.choice((1, 1, 2, 4))):
        if len(data) >= 8:
            dice.choice(MUTATIONS)(dice, data)
    return bytes(data)


def outcome(number: int) -> str:
    """Cluster the mutant without running it: "clustered", or the class of the error that the package raised on purpose.

    Any other exception goes through, and so does AssertionError when more than the reported spans changed.
    """
    data = mutant(number)
    granularity: Granularity = "axis" if number % 4 == 1 else "tensor"
    clusters = None if number % 4 == 3 else 8
    try:
        result = cluster(data, clusters=clusters, granularity=granularity, run=False, measure=False, force=True)
    except TfliteClusterError as error:
        return type(error).__name__
    assert result.model is not None
    restored = bytearray(result.model)
    for span in result.spans:
        restored[span.start : span.stop] = data[span.start : span.stop]
    assert restored == data, "bytes outside the reported spans changed"
    return "clustered"
