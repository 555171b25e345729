"""The command line: what it prints, and what is and is not left on the disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import PROGRAM, Captured, contents, refused, run

from tflite_cluster import __version__
from tflite_cluster.cli.entry import _COMMANDS
from tflite_cluster.cli.options import byte_count


@pytest.mark.slow
def test_done(capsys: Captured) -> None:
    """Without any option: the search, on the labelled samples beside the model."""
    before = contents()
    assert run("digits.tflite out.tflite") == 0
    output = capsys.readouterr()
    assert re.fullmatch(r"Plan: calibrate on 100 samples, .* on two idle processors\n", output.err)
    assert "How: searched on 100 labelled samples from digits.samples.npz" in output.out
    assert "7 biases fitted" in output.out
    assert "top-1 accuracy" in output.out
    assert "digits.tflite → out.tflite\n" in output.out
    first, second, *_ = lines = output.out.splitlines()
    assert lines[-2:] == [first, second]
    assert re.fullmatch(r"[\d.]+ → [\d.]+ kB zipped \([\d.]+× smaller\)", first)
    assert re.fullmatch(r"verified: \d+ of 100 right, .*; agreement [\d.]+ %", second)
    assert "dense_1/MatMul" not in output.out
    assert set(contents()) == {*before, "out.tflite"}
    assert Path("out.tflite").stat().st_size == Path("digits.tflite").stat().st_size
    assert contents()["digits.tflite"] == before["digits.tflite"]
    mask = os.umask(0)
    os.umask(mask)
    assert Path("out.tflite").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_name_by_default(capsys: Captured) -> None:
    before = contents()
    assert run("conv_2d_float32.tflite --clusters 16 --no-run -q") == 0
    assert set(contents()) == {*before, "conv_2d_float32.small.tflite"}
    refused(
        "conv_2d_float32.tflite --clusters 16 --no-run", 2, capsys, "conv_2d_float32.small.tflite exists", "--force"
    )
    assert run("conv_2d_float32.tflite --clusters 8 --no-run -q --force") == 0


@pytest.mark.parametrize("place", ["--suffix .tiny", "made", "made --suffix .tiny"])
def test_several_models(place: str, capsys: Captured) -> None:
    Path("made").mkdir()
    names = ["conv_2d_float32", "fully_connected_float32"]
    inputs = " ".join(f"{name}.tflite" for name in names)
    assert run(f"{inputs} {place} --clusters 16 --no-run") == 0
    output = capsys.readouterr()
    assert output.err == ""
    folder, suffix = Path("made" if "made" in place else "."), ".tiny" if ".tiny" in place else ""
    for name in names:
        assert f"{name}.tflite:\n" in output.out
        assert run(f"{name}.tflite alone.tflite --clusters 16 --no-run --force -q") == 0
        assert (folder / f"{name}{suffix}.tflite").read_bytes() == Path("alone.tflite").read_bytes()


def test_of_several_models_none_stops_the_others(capsys: Captured) -> None:
    Path("made").mkdir()
    inputs = "garbage.tflite four_values_float32.tflite missing.tflite conv_2d_float32.tflite"
    assert run(f"{inputs} made --clusters 16 --no-run --log-json") == 98
    assert [path.name for path in Path("made").iterdir()] == ["conv_2d_float32.tflite"]
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if not line.startswith("{")]
    assert [line.split(":")[2].strip() for line in errors] == inputs.split()[:3]
    outcomes = [json.loads(line) for line in lines if line.startswith("{")]
    assert [each["outcome"] for each in outcomes if "outcome" in each] == ["failed", "failed", "failed", "done"]
    assert run(f"{inputs} made --clusters 16 --no-run --force -q") == 3
    assert len(list(Path("made").iterdir())) == 2


def test_a_bare_call_prints_help(capsys: Captured) -> None:
    assert run("") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Usage: tflite-cluster [OPTIONS] IN.tflite... [OUT.tflite|FOLDER]")
    assert "--clusters N" in output.err


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tflite_cluster", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tflite-cluster, version {__version__}\n"
    assert subprocess.run([sys.executable, "-m", "tflite_cluster"], capture_output=True, check=False).returncode == 2


def test_quiet_prints_nothing(capsys: Captured) -> None:
    assert run("conv_2d_float32.tflite out.tflite --clusters 16 --no-run --quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run("conv_2d_float32.tflite out.tflite -q") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "--force" in output.err


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word: str, capsys: Captured) -> None:
    assert run(word) == 0
    text = capsys.readouterr().out
    for part in (
        "IN.tflite... [OUT.tflite|FOLDER]",
        "--clusters N",
        "--min-agreement PERCENT",
        "--max-size SIZE",
        "Exit codes: 0 done",
        f"Other commands (--help explains each): {', '.join(_COMMANDS)}.",
    ):
        assert part in text


def test_version(capsys: Captured) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"tflite-cluster, version {__version__}\n"


@pytest.mark.slow
def test_gates_that_hold() -> None:
    assert run("digits.tflite out.tflite --clusters 64 --min-agreement 90 --min-sqnr 10 --max-drop 5 --quiet") == 0
    assert Path("out.tflite").exists()


@pytest.mark.slow
def test_a_size_that_can_be_reached(capsys: Captured) -> None:
    assert run("conv_2d_float32.tflite out.tflite --max-size 90%") == 0
    assert "gate max-size holds: the zip takes" in capsys.readouterr().out


def test_no_run(capsys: Captured) -> None:
    assert run("digits.tflite out.tflite --clusters 16 --no-run") == 0
    text = capsys.readouterr().out
    assert "Fidelity: not checked, as asked." in text
    assert "k-means on the weights alone" in text


@pytest.mark.slow
def test_no_check_runs_the_model_all_the_same(capsys: Captured) -> None:
    assert run("digits.tflite out.tflite --clusters 16 --no-check") == 0
    text = capsys.readouterr().out
    assert "Fidelity: not checked, as asked." in text
    assert "calibrated on" in text
    assert run("digits.tflite checked.tflite --clusters 16") == 0
    assert Path("out.tflite").read_bytes() == Path("checked.tflite").read_bytes()


def test_no_sizes(capsys: Captured) -> None:
    assert run("digits.tflite out.tflite --clusters 16 --no-sizes --no-run --verbose") == 0
    text = capsys.readouterr().out
    assert "zip -9" not in text
    assert "…dense_1/MatMul  " in text


def test_a_model_that_cannot_be_run_is_not_called_checked(capsys: Captured) -> None:
    assert run("custom_operator_float32.tflite out.tflite") == 0
    assert "Fidelity: NOT CHECKED: the original model cannot be run" in capsys.readouterr().out


def test_a_report_of_a_fast_run_measures_no_slow_coders() -> None:
    assert run("digits.tflite out.tflite --clusters 16 --effort fast --report report.json --quiet") == 0
    sizes = json.loads(Path("report.json").read_text(encoding="utf-8"))["sizes"]
    assert {name for name, size in sizes.items() if size is not None} == {"file", "gzip6", "zip9"}


@pytest.mark.slow
def test_report() -> None:
    assert run("digits.tflite out.tflite --clusters 16 --report report.json --quiet") == 0
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report["written"] is True
    assert report["destination"] == "out.tflite"
    assert report["config"]["clusters"] == 16
    assert report["sizes"]["zip9"]["ratio"] > 3
    assert report["sizes"]["xz"]["after"] < report["sizes"]["xz"]["before"]
    assert report["fidelity"]["accuracy"]["samples"] == 100
    weights = [tensor for tensor in report["tensors"] if tensor["role"] == "weight"]
    assert {tensor["values"]["after"] for tensor in weights} == {16}
    assert [tensor["clustered"] for tensor in report["tensors"]] == [True] * 7 + [False] * 7


@pytest.mark.slow
def test_report_of_a_failure(capsys: Captured) -> None:
    Path("report.json").write_text("old")
    command = "digits.tflite out.tflite --clusters 2 --min-sqnr 60 --report report.json"
    assert run(f"{command} --quiet") == 2
    assert Path("report.json").read_text() == "old"
    assert run(f"{command} --force") == 99
    assert capsys.readouterr().err.endswith("min-sqnr failed; no model was written; the report is in report.json\n")
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report["written"] is False
    assert [(gate["gate"], gate["passed"]) for gate in report["fidelity"]["gates"]] == [("min-sqnr", False)]
    assert run("four_values_float32.tflite out.tflite --report other.json --quiet") == 98
    assert json.loads(Path("other.json").read_text(encoding="utf-8"))["written"] is False
    assert not Path("out.tflite").exists()


def test_sizes_are_read_as_people_write_them() -> None:
    for size, number in {"4GB": 4 * 10**9, "4 GiB": 4 << 30, "1500mb": 1500 * 10**6, "12": 12}.items():
        assert byte_count(size) == number
    assert run("conv_2d_float32.tflite out.tflite --clusters 16 --memory 4GB --quiet") == 0
    assert run("conv_2d_float32.tflite out.tflite --memory -4GB --force --quiet") == 2


@pytest.mark.slow
def test_nobody_reads_to_the_end() -> None:
    command = [*PROGRAM, "digits.tflite", "out.tflite", "--clusters", "16", "--no-run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        message = process.stderr.read()
    assert (process.returncode, message) == (0, b"")
    assert Path("out.tflite").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM cannot be caught there")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_the_middle(stop: signal.Signals, folder: Path) -> None:
    before = contents()
    with subprocess.Popen([*PROGRAM, "digits.tflite", "out.tflite"], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in folder.glob(".tflite-cluster-*")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(stop)
        _, message = process.communicate(timeout=30)
    assert process.returncode == 1
    assert message.endswith("stopped; nothing was written\n")
    assert contents() == before
