"""What the command line refuses: exit codes and messages, and that the folder stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from support.command_line import Captured, contents, refused, run

from tflite_cluster.cli import main


def test_two_models_are_not_taken_for_a_model_and_its_output(capsys: Captured) -> None:
    words = "four_values_float32.tflite exists: use --force to replace it, or --suffix to cluster both"
    refused("conv_2d_float32.tflite four_values_float32.tflite", 2, capsys, words)


def test_the_file_in_the_way_is_named(capsys: Captured) -> None:
    Path("made").mkdir()
    shutil.copy("conv_2d_float32.tflite", "made")
    place = os.path.join("made", "conv_2d_float32.tflite")  # noqa: PTH118
    refused("conv_2d_float32.tflite made/", 2, capsys, f"{place} exists: use --force to replace it\n")


def test_models_of_one_name_do_not_go_to_one_folder(capsys: Captured) -> None:
    for name in ("one", "other", "made"):
        Path(name).mkdir()
        shutil.copy("conv_2d_float32.tflite", f"{name}/model.tflite")
    refused("one/model.tflite other/model.tflite made --no-run", 2, capsys, "another file of this run")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["IN.tflite"]),
        ("--clusters 4", ["Missing argument 'IN.tflite'"]),
        ("digits.tflite out.tflite -q -v", ["leave out --verbose or --quiet"]),
        ("digits.tflite out.tflite --clutsers 4", ["--clutsers", "--clusters"]),
        ("digits.tflite out.tflite --clusters many", ["--clusters", "'many'"]),
        ("digits.tflite out.tflite --clusters 1", ["--clusters must", "between 2 and 256", "1"]),
        ("digits.tflite out.tflite --clusters 257", ["--clusters must", "between 2 and 256", "257"]),
        ("digits.tflite out.tflite --granularity row", ["--granularity", "'tensor'", "'axis'"]),
        ("digits.tflite out.tflite --min-agreement 101", ["--min-agreement is", "101"]),
        ("digits.tflite out.tflite --min-sqnr nan", ["--min-sqnr must", "finite"]),
        ("digits.tflite out.tflite --max-drop inf", ["--max-drop must", "finite"]),
        ("digits.tflite out.tflite --min-sqnr 20 --no-run", ["--min-sqnr", "leave out --no-run"]),
        ("digits.tflite out.tflite --min-sqnr 20 --no-check", ["--min-sqnr", "leave out --no-check"]),
        ("digits.tflite out.tflite --no-run --data digits.npz", ["leave out --data", "or leave out --no-run"]),
        ("digits.tflite out.tflite --no-run --max-size 4x", ["leave out --max-size", "or leave out --no-run"]),
        ("digits.tflite out.tflite --no-check --benchmark", ["leave out --benchmark", "or leave out --no-check"]),
        (
            "digits.tflite out.tflite --data x --mean 0.5 --std 0.5",
            ["--mean 127.5 and --std 127.5", "--normalize -1..1"],
        ),
        ("digits.tflite out.tflite --data x --normalize half", ["--normalize", "'-1..1'"]),
        ("sweep digits.tflite --force", ["--force", "--plot"]),
        ("digits.tflite out.tflite --max-size 4x --clusters 8", ["--max-size asks", "leave out --clusters"]),
        ("digits.tflite out.tflite --max-size lots", ["--max-size", "'lots'"]),
        ("digits.tflite out.tflite --granularity axis", ["--granularity 'axis' needs", "--clusters"]),
        ("digits.tflite out.tflite --seed -1", ["--seed must", "-1"]),
        ("digits.tflite out.tflite --workers 0", ["--workers must", "1"]),
        ("digits.tflite out.tflite --timeout 0", ["--timeout must", "positive"]),
        ("digits.tflite out.tflite --memory lots", ["--memory", "'lots'", "4GB"]),
        ("digits.tflite digits.tflite", ["digits.tflite", "another name"]),
        ("digits.tflite digits.tflite --force", ["digits.tflite", "another name"]),
        ("digits.tflite ./nested/../digits.tflite --force", ["another name"]),
        ("digits.tflite four_values_float32.tflite", ["four_values_float32.tflite exists", "--force"]),
        ("digits.tflite -", ["standard input and output", "name a file", "./-"]),
        ("- out.tflite", ["standard input and output", "name a file", "./-"]),
        ("digits.tflite absent/", ["absent/ does not exist", "create"]),
        ("digits.tflite garbage.tflite out.tflite", ["out.tflite is not a folder", "--suffix"]),
        ("digits.tflite garbage.tflite .", ["digits.tflite", "another name"]),
        ("digits.tflite --suffix a/b", ["--suffix", "'a/b'"]),
        ("digits.tflite cut.tflite --suffix .x --report r.json", ["leave out --report", "2 are given"]),
        ("digits.tflite cut.tflite --suffix .x --save-recipe r.toml", ["leave out --save-recipe", "2 are given"]),
        ("digits.tflite cut.tflite --suffix .x --clusters 1", ["--clusters must be between 2 and 256"]),
        ("digits.tflite cut.tflite --suffix .x --base old.tflite", ["leave out --base", "2 are given"]),
        ("digits.tflite out.tflite --base digits.tflite", ["--base digits.tflite is the input itself", "last release"]),
        ("digits.tflite out.tflite --base ./out.tflite --force", ["out.tflite", "another name"]),
        (
            "digits.tflite out.tflite --no-run --base four_values_float32.tflite",
            ["--base four_values_float32.tflite shares no weight with digits.tflite", "leave out --base"],
        ),
        ("digits.tflite out.tflite --granularity axis --clusters 4 --base x", ["leave out --base", "--granularity"]),
        ("digits.tflite missing/out.tflite", ["missing does not exist", "create"]),
        ("digits.tflite out.tflite --report missing/report.json", ["missing does not exist", "create"]),
        ("digits.tflite out.tflite --report digits.tflite", ["digits.tflite", "another name"]),
        ("digits.tflite out.tflite --report ./out.tflite", ["out.tflite", "another name"]),
        ("digits.tflite out.tflite --report broken.npz", ["broken.npz exists", "--force"]),
        ("digits.tflite out.tflite --report -", ["--report", "name of a file"]),
    ],
)
def test_wrong_usage(command: str, words: list[str], capsys: Captured) -> None:
    Path("nested").mkdir()
    refused(command, 2, capsys, *words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("missing.tflite out.tflite", ["missing.tflite"]),
        ("missing.tflite four_values_float32.tflite", ["missing.tflite: cannot be read"]),
        ("missing.tflite out.tflite --report broken.npz", ["missing.tflite: cannot be read"]),
        ("missing.tflite out.tflite --target tflm --log-json", ["missing.tflite: cannot be read"]),
        ("nested out.tflite", ["nested"]),
        ("empty.tflite out.tflite", ["empty.tflite"]),
        ("garbage.tflite out.tflite", ["garbage.tflite"]),
        ("cut.tflite out.tflite", ["cut.tflite"]),
        ("digits.tflite out.tflite --data missing.npz", ["missing.npz"]),
        ("digits.tflite out.tflite --data broken.npz", ["broken.npz", "numpy.savez"]),
        ("digits.tflite out.tflite --data misfit.npz", ["misfit.npz", "8"]),
        ("digits.tflite out.tflite --data nested", ["nested", ".npy"]),
    ],
)
def test_unreadable_input(command: str, words: list[str], capsys: Captured) -> None:
    Path("nested").mkdir()
    refused(command, 3, capsys, "tflite-cluster: error: ", *words)


def test_a_missing_model_is_told_before_an_existing_picture(capsys: Captured) -> None:
    Path("curve.svg").touch()
    refused("sweep missing.tflite --plot curve.svg", 3, capsys, "missing.tflite: cannot be read")


def test_a_message_steers_no_terminal(capsys: Captured) -> None:
    assert main(["\x1b[31m\x07.tflite", "out.tflite"]) == 3
    message = capsys.readouterr().err
    assert message.rstrip("\n").isprintable()


@pytest.mark.slow
def test_not_smaller(capsys: Captured) -> None:
    words = "four_values_float32.tflite: no weight was changed, so it would not zip smaller; no model was written"
    refused("four_values_float32.tflite out.tflite", 98, capsys, words)
    assert run("four_values_float32.tflite out.tflite --force") == 0
    assert contents()["out.tflite"] == contents()["four_values_float32.tflite"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "gates", "words"),
    [
        (
            "digits.tflite out.tflite --clusters 2 --min-agreement 99.9",
            "min-agreement",
            ["99.9 % is asked for"],
        ),
        ("digits.tflite out.tflite --clusters 4 --min-sqnr 60", "min-sqnr", ["60 dB is asked for"]),
        (
            "digits.tflite out.tflite --clusters 2 --max-drop 0.1",
            "max-drop",
            ["points, and 0.1 may be lost"],
        ),
        ("custom_operator_float32.tflite out.tflite --min-sqnr 1", "min-sqnr", ["cannot be measured", "NobodyKnows"]),
        ("conv_2d_float32.tflite out.tflite --max-size 1%", "max-size", ["the zip takes", "in the smallest candidate"]),
        (
            "fully_connected_float32.tflite out.tflite --min-agreement 90 --min-sqnr 200",
            "min-sqnr",
            ["none of", "candidates is good enough", "200 dB is asked for"],
        ),
    ],
)
def test_gate(command: str, gates: str, words: list[str], capsys: Captured) -> None:
    before = contents()
    assert run(f"{command} --no-sizes") == 99
    output = capsys.readouterr()
    assert all(word in output.out for word in words)
    model, _, _ = command.partition(" ")
    *plan, message = output.err.splitlines()
    assert message == f"tflite-cluster: error: {model}: {gates} failed; no model was written"
    assert all(line.startswith("Plan: ") for line in plan)
    assert contents() == before


@pytest.mark.slow
def test_a_gate_says_why_also_if_nothing_else_is_printed(capsys: Captured) -> None:
    refused(
        "digits.tflite out.tflite --clusters 4 --min-sqnr 60 -q",
        99,
        capsys,
        "min-sqnr",
        "60 dB is asked for",
    )


@pytest.mark.parametrize("command", ["digits.tflite out.tflite", "compare digits.tflite digits.tflite"])
def test_labels_that_count_from_one(command: str, capsys: Captured) -> None:
    complaint = [
        "from_one.npz, array 'y': the label of sample",
        "is 10",
        "10 classes, 0 to 9: subtract 1 from each label",
    ]
    refused(f"{command} --data from_one.npz", 3, capsys, *complaint)


def test_a_drop_without_labels_is_refused_before_the_search(capsys: Captured) -> None:
    refused("conv_2d_float32.tflite out.tflite --max-drop 5", 2, capsys, "--max-drop needs samples with the class")


@pytest.mark.slow
def test_an_old_output_stays_unless_replaced(capsys: Captured) -> None:
    Path("out.tflite").write_bytes(b"old")
    refused("conv_2d_float32.tflite out.tflite", 2, capsys)
    refused("garbage.tflite out.tflite --force", 3, capsys)
    refused("digits.tflite out.tflite --force --clusters 2 --min-sqnr 90", 99, capsys)
    assert run("conv_2d_float32.tflite out.tflite --clusters 16 --no-run --force") == 0
    assert len(contents()["out.tflite"]) == len(contents()["conv_2d_float32.tflite"])


def test_a_disk_that_is_full(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("out.tflite").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    command = "conv_2d_float32.tflite out.tflite --clusters 16 --no-run --force"
    refused(command, 1, capsys, "out.tflite cannot be written", "No space left")


@pytest.mark.parametrize(
    ("word", "words"), [("inspct", "did you mean inspect?"), ("help", "tflite-cluster --help says more")]
)
def test_a_word_that_is_no_command(word: str, words: str, capsys: Captured) -> None:
    before = contents()
    assert main([word, "digits.tflite", "--force"]) == 2
    message = capsys.readouterr().err
    assert f"neither a command nor a model of the name {word}: {words}" in message
    assert contents() == before
