"""What would be wrong with a new file is seen before it takes its place; each test breaks one thing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER

from tflite_cluster import ModelError, Result, cluster
from tflite_cluster.api import cluster as api_module
from tflite_cluster.model.analysis import Analysis
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.verify import Span
from tflite_cluster.progress import Plan
from tflite_cluster.run import proof as proof_module

SOURCE = FOLDER / "fully_connected_float32.tflite"
Damage = Callable[[PatchedCopy, Result], Result | None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.tflite"
    path.write_bytes(SOURCE.read_bytes())
    return path


def put(copy: PatchedCopy, position: int, content: bytes) -> None:
    with copy.path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def start_of_weight(result: Result) -> int:
    return result.spans[0].start


def outside(copy: PatchedCopy, result: Result) -> None:
    put(copy, start_of_weight(result) - 1, b"\x55")


def at_the_end(copy: PatchedCopy, _: Result) -> None:
    put(copy, SOURCE.stat().st_size - 1, b"\x55")


def longer(copy: PatchedCopy, _: Result) -> None:
    put(copy, SOURCE.stat().st_size, b"\0")


def another_value(copy: PatchedCopy, result: Result) -> None:
    put(copy, start_of_weight(result) + 400, struct.pack("<f", 0.123456))


def a_value_outside_the_codebook(copy: PatchedCopy, result: Result) -> None:
    """In place of one of the codebook, wherever that stands: the count stays the same."""
    span = result.spans[0]
    values = np.frombuffer(copy.read_span(Span(span.start, span.stop)), "<f4")
    put(copy, span.start, np.where(values == values[0], np.float32(0.123456), values).tobytes())


def values_of_the_codebook_elsewhere(copy: PatchedCopy, result: Result) -> None:
    span = result.spans[0]
    put(copy, span.start, np.frombuffer(copy.read_span(Span(span.start, span.stop)), "<f4")[::-1].tobytes())


def one_value_less(copy: PatchedCopy, result: Result) -> None:
    span = result.spans[0]
    put(copy, span.start, bytes(span.stop - span.start))


def a_span_not_reported(_: PatchedCopy, result: Result) -> Result:
    return replace(result, tensors=tuple(replace(tensor, span=None) for tensor in result.tensors))


def more_than_asked_for(_: PatchedCopy, result: Result) -> Result:
    return replace(result, config=replace(result.config, clusters=4))


DAMAGES: list[tuple[Damage, str]] = [
    (outside, "differs from it at byte 0 or soon after"),
    (at_the_end, "differs from it at byte"),
    (longer, "has another length"),
    (another_value, r"tensor 'MatMul' holds 9 values, and 8 were written"),
    (a_value_outside_the_codebook, r"tensor 'MatMul' holds other values than were written"),
    (values_of_the_codebook_elsewhere, r"tensor 'MatMul' holds other values than were written"),
    (one_value_less, r"tensor 'MatMul' holds 1 values, and 8 were written"),
    (a_span_not_reported, "differs from it at byte"),
    (more_than_asked_for, r"holds 8 values, and 4 are asked for"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_damage_is_seen(damage: Damage, words: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(analysis: Analysis, path: Path, copy: PatchedCopy, result: Result) -> None:
        proof_module.prove(analysis, path, copy, damage(copy, result) or result)

    monkeypatch.setattr(api_module, "prove", prove)
    destination = source.with_name("out.tflite")
    destination.write_bytes(b"old")
    with pytest.raises(ModelError, match=words) as caught:
        cluster(source, destination, clusters=8, run=False, measure=False, force=True)
    assert str(caught.value).endswith("nothing was written")
    assert destination.read_bytes() == b"old"
    assert set(source.parent.iterdir()) == {source, destination}


def another_scale(copy: PatchedCopy, result: Result) -> None:
    (scales, *_) = [tensor.scales for tensor in result.tensors if tensor.scales]
    put(copy, scales[0].start, struct.pack("<f", 0.123456))


def scales_not_reported(_: PatchedCopy, result: Result) -> Result:
    return replace(result, tensors=tuple(replace(tensor, scales=()) for tensor in result.tensors))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "words"),
    [(another_scale, "holds other values than were written"), (scales_not_reported, "differs from it at byte")],
)
def test_damage_to_scales_is_seen(damage: Damage, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(analysis: Analysis, path: Path, copy: PatchedCopy, result: Result) -> None:
        proof_module.prove(analysis, path, copy, damage(copy, result) or result)

    monkeypatch.setattr(api_module, "prove", prove)
    with pytest.raises(ModelError, match=words):
        cluster(FOLDER / "conv_2d_int8.tflite", measure=False, force=True)


def test_a_new_file_that_is_not_safe_to_read_is_seen(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should ever a span reach into the structure."""
    monkeypatch.setattr(PatchedCopy, "check", lambda *_: None)

    def prove(analysis: Analysis, path: Path, copy: PatchedCopy, result: Result) -> None:
        put(copy, 0, b"\xf0\xff\xff\xff")
        proof_module.prove(analysis, path, copy, result)

    monkeypatch.setattr(api_module, "prove", prove)
    with pytest.raises(ModelError, match=r"the new in\.tflite: damaged"):
        cluster(source, clusters=8, run=False, measure=False)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["changed", "cut", "longer", "replaced", "gone"])
def test_an_input_that_changes_meanwhile_is_noticed(how: str, source: Path) -> None:
    """At whatever time: also while its pages are read."""
    content = source.read_bytes()

    def change(stage: str, done: int, _total: int) -> None:
        if done != 1 or isinstance(stage, Plan):
            return
        if how == "changed":
            put_in_place = bytearray(content)
            put_in_place[500] ^= 1
            source.write_bytes(put_in_place)
        elif how == "cut":
            with source.open("r+b") as file:
                file.truncate(16)
        elif how == "longer":
            source.write_bytes(content + b"\0")
        else:
            source.unlink(missing_ok=True)  # called again at later stages
            if how == "replaced":
                source.write_bytes(bytes(len(content)))

    destination = source.with_name("out.tflite")
    with pytest.raises(ModelError, match=r"in\.tflite: changed while it was read; nothing was written: run it again"):
        cluster(source, destination, clusters=8, measure=False, progress=change)
    assert not destination.exists()
