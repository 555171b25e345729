"""What people read, word for word; run with TFLITE_CLUSTER_GOLDEN=write to write the texts anew."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from support.golden import compare
from support.results import CLUSTERED, DONE, LEFT_ALONE, RESULTS, WRITTEN

from tflite_cluster.fidelity.verdict import NoiseFloor
from tflite_cluster.report.names import printable, shortened
from tflite_cluster.report.text import print_result, render
from tflite_cluster.result import Result, TensorResult

LONG = tuple(
    replace(tensor, name=f"functional_1/batch_normalization_{number}_1/batchnorm/mul_long_name_{number}")
    for number, tensor in enumerate(CLUSTERED)
)
WIDE = replace(DONE, tensors=LONG + LEFT_ALONE)


def shown(result: Result, width: int = 100_000, terminal: bool = False) -> str:
    colors = "standard" if terminal else None
    console = Console(width=width, file=io.StringIO(), highlight=False, force_terminal=terminal, color_system=colors)
    for part in render(result, True, width):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("kind", RESULTS)
def test_in_a_pipe(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULTS[kind], kind in WRITTEN)
    compare(capsys.readouterr().out, kind)


@pytest.mark.parametrize("width", [80, 100])
def test_on_a_terminal(width: int) -> None:
    text = shown(WIDE, width)
    compare(text, f"terminal_{width}")
    assert max(map(len, text.splitlines())) <= width
    assert all(f"ong_name_{number} " in text for number in range(len(LONG)))


@pytest.mark.parametrize("columns", ["80", ""])
def test_a_pipe_is_as_wide_as_columns_says(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_result(WIDE, written=True)
    text = capsys.readouterr().out
    assert (max(map(len, text.splitlines())) <= 80) == (columns == "80")
    assert all(tensor.name in text for tensor in LONG) == (columns == "")


def test_a_finding_goes_on_further_in() -> None:
    lines = [line for line in shown(DONE, 60).splitlines() if line.startswith(" ")]
    assert [line for line in lines if line.startswith("      ") and line[6] != " "]
    assert all(line.startswith(("  output", "  top-1", "  floor", "    ")) for line in lines)


def test_a_pipe_cuts_and_wraps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cause = "the original model cannot be run: " + "because of this, " * 20
    result = RESULTS["not_checked"]
    print_result(replace(result, fidelity=replace(result.fidelity, cause=cause, gates=())), written=False)
    assert f"Fidelity: NOT CHECKED: {cause}\n" in capsys.readouterr().out


def test_many_tensors_are_summed_up() -> None:
    many = tuple(replace(CLUSTERED[0], name=f"kernel {number}", bytes=number) for number in range(100))
    text = shown(replace(DONE, tensors=many))
    assert "… and 60 smaller ones" in text
    assert "kernel 59 " not in text
    assert "kernel 60 " in text


HOSTILE = [
    "[red]alarm[/red]",
    "[/]",
    "\x1b[2J\x1b]0;title\x07",
    "two\nlines",
    "right\u202eleft",
    "\udc80",
    "back\rover",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("terminal", [False, True])
def test_names_from_the_file_do_no_harm(name: str, terminal: bool) -> None:
    reason = TensorResult(name, name, "FLOAT32", (300,), 1200, name)
    output = replace(DONE.fidelity.outputs[0], name=name, note=name)
    floor = NoiseFloor(8, (output,))
    fidelity = replace(DONE.fidelity, outputs=(output,), basis=name, noise_floor=floor)
    tensors = (replace(CLUSTERED[0], name=name, operator=name), reason)
    result = replace(DONE, source=name, destination=Path("x" + name), tensors=tensors, fidelity=fidelity)
    text = shown(result, terminal=terminal)
    plain = shown(result)
    assert all(letter.isprintable() or letter == "\n" for letter in plain)
    assert len(plain.splitlines()) == len(shown(replace(DONE, tensors=(CLUSTERED[0], LEFT_ALONE[0]))).splitlines())
    for sequence in ("\x1b[2J", "\x1b]", "\r", "\u202e"):
        assert sequence not in text
    if name.startswith("["):
        assert plain.count(name) >= 6


def test_printable_cuts_in_the_middle() -> None:
    assert printable("abcdefghij", 5) == "ab…ij"
    assert printable("abcdefghij", 6) == "ab…hij"
    assert printable("abcde", 5) == "abcde"


DEPTHWISE = "MobileNet/conv_ds_{0}/dw_batch_norm/FusedBatchNorm;MobileNet/conv_ds_{0}/depthwise_conv/depthwise;"
FUSED = "sequential/layers/norm/mul;sequential/layers/conv_{0}/kernel;sequential/layers/norm/sub"


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ([DEPTHWISE.format(number) for number in range(1, 12)], [f"conv_ds_{number}" for number in range(1, 12)]),
        (["MobileNet/fc1/MatMul", *(DEPTHWISE.format(n) for n in (4, 5))], ["fc1/MatMul", "conv_ds_4", "conv_ds_5"]),
        ([FUSED.format(number) for number in range(12)], [f"conv_{number}" for number in range(12)]),
        (["dense/kernel", *(FUSED.format(n) for n in (3, 4))], ["dense/kernel", "conv_3", "conv_4"]),
        (
            [
                f"net/expanded_conv_{n}/{part}/Conv2D;again/net/{n}/{part}"
                for n in (16, 17)
                for part in ("project", "expand")
            ],
            ["_16/project", "_16/expand", "_17/project", "_17/expand"],
        ),
        (["a" * 50 + "/x", "a" * 50 + "/y"], ["x", "y"]),
        (["a" * 50] * 2, ["aaa", "aaa"]),
    ],
)
def test_what_tells_names_apart_stays(names: list[str], kept: list[str]) -> None:
    short = shortened(names, 24)
    assert all(part in name for part, name in zip(kept, short, strict=True))
    assert max(map(len, short)) <= 24
    assert len(set(short)) == len(set(names))


def test_names_that_fit_are_not_touched() -> None:
    assert shortened(["net/conv_1", "net/conv_2"], 10) == ["net/conv_1", "net/conv_2"]


def test_an_encoding_without_arrows(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="cp1252"))
    print_result(DONE, written=True)
    sys.stdout.flush()
    assert b"27648 ? 32" in buffer.getvalue()
