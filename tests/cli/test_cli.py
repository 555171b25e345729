"""The command line: exit codes, messages, and what is and is not left on the disk."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tflite_cluster import __version__
from tflite_cluster.cli.entry import _COMMANDS, main
from tflite_cluster.cli.options import byte_count

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with models of several kinds in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "digits.tflite", "digits.tflite")
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        images, labels = samples["x"], samples["y"]
    np.savez("digits.samples.npz", x=images[:100], y=labels[:100])
    np.savez("from_one.npz", x=images[:20], y=labels[:20] + 1)
    for name in ("conv_2d_float32", "fully_connected_float32", "four_values_float32", "custom_operator_float32"):
        shutil.copy(FIXTURES / f"{name}.tflite", f"{name}.tflite")
    Path("garbage.tflite").write_bytes(bytes(range(256)) * 8)
    Path("cut.tflite").write_bytes(Path("digits.tflite").read_bytes()[:50_000])
    Path("empty.tflite").touch()
    np.savez("misfit.npz", x=np.zeros((3, 5), np.float32))
    Path("broken.npz").write_bytes(b"no zip at all")
    return tmp_path


def run(command: str) -> int:
    return main(command.split())


def refused(command: str, code: int, capsys: Captured, *words: str) -> None:
    """The command fails with this code and these words on standard error, and leaves the folder as it was."""
    before = contents()
    assert run(command) == code
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert contents() == before


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


@pytest.mark.slow
def test_done(capsys: Captured) -> None:
    """Without any option: the search, on the labelled samples beside the model."""
    before = contents()
    assert run("digits.tflite out.tflite") == 0
    output = capsys.readouterr()
    assert output.err == ""
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


def test_two_models_are_not_taken_for_a_model_and_its_output(capsys: Captured) -> None:
    words = "four_values_float32.tflite exists: use --force to replace it, or --suffix to cluster both"
    refused("conv_2d_float32.tflite four_values_float32.tflite", 2, capsys, words)


def test_models_of_one_name_do_not_go_to_one_folder(capsys: Captured) -> None:
    for name in ("one", "other", "made"):
        Path(name).mkdir()
        shutil.copy("conv_2d_float32.tflite", f"{name}/model.tflite")
    refused("one/model.tflite other/model.tflite made --no-run", 2, capsys, "another file of this run")


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
        ("conv_2d_float32.tflite out.tflite --max-size 1%", "max-size", ["smallest zip found takes", "are asked for"]),
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
    assert output.err == f"tflite-cluster: error: {model}: {gates} failed; no model was written\n"
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
def test_gates_that_hold() -> None:
    assert run("digits.tflite out.tflite --clusters 64 --min-agreement 90 --min-sqnr 10 --max-drop 5 --quiet") == 0
    assert Path("out.tflite").exists()


@pytest.mark.slow
def test_a_size_that_can_be_reached(capsys: Captured) -> None:
    assert run("conv_2d_float32.tflite out.tflite --max-size 90%") == 0
    assert "gate max-size holds: the zip takes" in capsys.readouterr().out


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


PROGRAM = [sys.executable, "-c", "import sys; from tflite_cluster.cli import main; sys.exit(main())"]


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


@pytest.mark.parametrize(
    ("word", "words"), [("inspct", "did you mean inspect?"), ("help", "tflite-cluster --help says more")]
)
def test_a_word_that_is_no_command(word: str, words: str, capsys: Captured) -> None:
    before = contents()
    assert main([word, "digits.tflite", "--force"]) == 2
    message = capsys.readouterr().err
    assert f"neither a command nor a model of the name {word}: {words}" in message
    assert contents() == before
