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

from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.fidelity.verdict import NoiseFloor
from tflite_cluster.report.names import printable, shortened
from tflite_cluster.report.tables import print_fitted, print_parts, table
from tflite_cluster.report.text import print_result, render
from tflite_cluster.result import Estimate, Result, TensorResult, Update
from tflite_cluster.search.base import Unmatched
from tflite_cluster.targets.chips.chip import HandedOff

LONG = tuple(
    replace(tensor, name=f"functional_1/batch_normalization_{number}_1/batchnorm/mul_long_name_{number}")
    for number, tensor in enumerate(CLUSTERED)
)
WIDE = replace(DONE, tensors=LONG + LEFT_ALONE)


def shown(result: Result, width: int = 100_000, terminal: bool = False, verbose: bool = True) -> str:
    colors = "standard" if terminal else None
    console = Console(width=width, file=io.StringIO(), highlight=False, force_terminal=terminal, color_system=colors)
    print_fitted(console, render(result, True, width, verbose))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("kind", RESULTS)
def test_in_a_pipe(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULTS[kind], kind in WRITTEN, verbose=True)
    compare(capsys.readouterr().out, kind)


@pytest.mark.parametrize("kind", ["checked", "gate_fails", "nothing_to_do", "not_checked", "would_be_stored"])
def test_without_tables(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULTS[kind], kind in WRITTEN)
    compare(capsys.readouterr().out, f"short_{kind}")


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("verbose", [False, True])
def test_the_result_stands_first_and_last(kind: str, verbose: bool) -> None:
    lines = shown(RESULTS[kind], verbose=verbose).splitlines()
    assert lines[:2] == lines[-2:]
    assert "zip" in lines[0]
    assert lines[1].startswith(f"{RESULTS[kind].fidelity.verdict}: ")
    assert verbose or len(lines) < 30


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (Accuracy("y", 60, 48, 47, lost=1, gained=0), "47 of 60 right, was 48 (within chance)"),
        (Accuracy("y", 60, 48, 48, lost=0, gained=0), "48 of 60 right, as before"),
        (Accuracy("y", 60, 48, 48, lost=1, gained=1), "48 of 60 right, as before (within chance)"),
        (Accuracy("y", 60, 48, 28, lost=20, gained=0), "28 of 60 right, was 48 (-33.33 ± 6.14 points)"),
        (Accuracy("y", 50_000, 40_000, 39_990, lost=300, gained=290), "39,990 of 50,000 right, was 40,000 (within"),
        (Accuracy("y", 60, 6, 6, lost=0, gained=0, doubt="the labels are wrong"), "verified: agreement 99.7 %"),
    ],
)
def test_the_result_counts_hits(accuracy: Accuracy, words: str) -> None:
    fidelity = replace(DONE.fidelity, accuracy=accuracy)
    if accuracy.doubt is not None:
        words = words.replace("verified", "close")
    assert words in shown(replace(DONE, fidelity=fidelity)).splitlines()[1]


@pytest.mark.parametrize(("not_done", "estimate"), [(None, ""), ("Vela is not installed", ", by an estimate")])
def test_the_bytes_of_a_chip_come_first(not_done: str | None, estimate: str) -> None:
    handed = HandedOff("ethos-u", "Vela encoding", 7_100, 3_400, not_done=not_done)
    for line in (0, -2):
        first = render(DONE, True, verbose=True, handed=handed)[line]
        assert str(first) == f"ethos-u: 7.1 → 3.4 kB (2.1× smaller{estimate}); 166 → 46.1 kB zipped (3.6× smaller)"
    nothing = replace(handed, bytes_after=None)
    assert str(render(DONE, True, handed=nothing)[0]) == "166 → 46.1 kB zipped (3.6× smaller)"


def test_all_samples_are_a_hundred_percent_and_no_less() -> None:
    for agreement, words in ((1.0, "agreement 100 %"), (0.9999, "agreement 99.9 %"), (0.9, "agreement 90.0 %")):
        output = replace(DONE.fidelity.outputs[0], agreement=agreement)
        assert words in shown(replace(DONE, fidelity=replace(DONE.fidelity, outputs=(output,)))).splitlines()[1]


@pytest.mark.parametrize(("share", "said"), [(0.5, True), (0.95, True), (0.951, False)])
def test_storing_as_codes_is_worth_a_line_from_a_twentieth_less_on(share: float, said: bool) -> None:
    assert DONE.sizes is not None
    result = replace(DONE, if_stored=Estimate(99_700, int(share * DONE.sizes.zip9.after), 5.4))
    assert ("With --store int8" in shown(result)) is said


def test_names_are_cut_in_pipes_too(capsys: pytest.CaptureFixture[str]) -> None:
    tensors = tuple(replace(each, name=f"net/{'long' * 90}/{each.name}/{'x' * 90}") for each in CLUSTERED)
    print_result(replace(DONE, tensors=tensors), written=True, verbose=True)
    rows = [line for line in capsys.readouterr().out.splitlines() if "conv/kernel" in line or "dense/MatMul" in line]
    assert len(rows) == len(tensors)
    assert max(map(len, rows)) <= 120


def test_a_table_in_a_pipe_is_as_wide_as_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reasons = tuple(replace(each, reason="it is one of many, " * 20) for each in LEFT_ALONE)
    print_result(replace(WIDE, tensors=LONG + reasons), written=True, verbose=True)
    tables = capsys.readouterr().out.partition("How: ")[0]
    assert 100 < max(map(len, tables.splitlines())) <= 120


def test_nothing_that_a_page_has_no_room_for_is_cut_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = ("name" * 40, "12,345,678")
    print_parts(lambda _width: [table(("Model", "Bytes"), [row])])
    assert capsys.readouterr().out.splitlines()[1].split() == list(row)


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
    print_result(WIDE, written=True, verbose=True)
    text = capsys.readouterr().out
    assert (max(map(len, text.splitlines())) <= 80) == (columns == "80")
    assert all(f"ong_name_{number} " in text for number in range(len(LONG)))


def test_a_finding_goes_on_further_in() -> None:
    lines = [line for line in shown(DONE, 60).splitlines() if line.startswith(" ")]
    assert [line for line in lines if line.startswith("      ") and line[6] != " "]
    assert all(line.lstrip() for line in lines)


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
    print_result(DONE, written=True, verbose=True)
    sys.stdout.flush()
    assert b"27648 ? 32" in buffer.getvalue()


def test_an_update_is_told_in_its_line_and_in_the_headline() -> None:
    unmatched = tuple(Unmatched(f"weight {number}", "the shape differs") for number in range(5))
    update = Update("old.tflite", 7, unmatched, {"bsdiff": 5277, "zstd": None})
    text = "\n".join(str(part) for part in render(replace(RESULTS["checked"], update=update), written=True))
    assert text.count("a patch takes 5,277 bytes") == 2
    assert "Patch from old.tflite: bsdiff 5,277 bytes, zstd --patch-from not measured (" in text
    assert "7 weights kept close to it, but not 'weight 0' (the shape differs), " in text
    assert text.rstrip().count("and 2 more") == 1
