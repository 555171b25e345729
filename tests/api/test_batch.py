"""A batch: the bytes of single runs, each fault of a worker or of the machine, and what a second run does again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.archives import bundle_of
from support.command_line import LINUX_ONLY, PROGRAM
from support.fixture_models import FOLDER

from tflite_cluster import Batch, BatchRecord, ConfigError, OutputError, batch, cluster, cluster_bundle
from tflite_cluster.api.batch_results import RESULTS, Results
from tflite_cluster.api.batch_task import MOST_ATTEMPTS
from tflite_cluster.cli import main

pytest.importorskip("joblib")
pytestmark = [LINUX_ONLY, pytest.mark.slow, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schema" / "batch.schema.json").read_text(encoding="utf-8"))
NAMES = ("a", "b", "c")
SETTINGS: dict[str, Any] = {"clusters": 16, "data": "given:samples"}

GIVEN = """
import os, signal, time
import numpy as np
def samples():
    yield from np.random.default_rng(0).normal(size=(20, 8, 8, 8)).astype(np.float32)
def kills_once():
    try:
        open(os.environ["HERE"] + "/killed", "x").close()
    except FileExistsError:
        return samples()
    os.kill(os.getpid(), signal.SIGKILL)
def kills():
    os.kill(os.getpid(), signal.SIGKILL)
def hangs_once():
    if not os.path.exists(os.environ["HERE"] + "/hung"):
        open(os.environ["HERE"] + "/hung", "x").close()
        time.sleep(1000)
    return samples()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models, and functions that yield samples and do harm to the worker that calls them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("HERE", str(tmp_path))  # any test's copy of the module may be found first
    for name in NAMES:
        shutil.copy(FOLDER / "conv_2d_float32.tflite", f"{name}.tflite")
    Path("given.py").write_text(GIVEN)
    return tmp_path


def models(*names: str) -> list[str]:
    return [f"{name}.tflite" for name in names or NAMES]


def lines() -> list[BatchRecord]:
    found = [BatchRecord.from_line(line) for line in Path("out", RESULTS).read_text().splitlines()]
    return [record for record in found if record is not None]


def outcomes(found: Batch) -> dict[str, str]:
    return {record.destination.removesuffix(".tflite"): record.outcome for record in found.records}


def check_folder(*names: str) -> None:
    """The new models are what single runs make, and nothing else lies beside the results."""
    expected = cluster("a.tflite", **SETTINGS).model
    for name in names:
        assert Path("out", f"{name}.tflite").read_bytes() == expected, name
    assert {path.name for path in Path("out").iterdir()} == {RESULTS, *models(*names)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_bytes_of_single_runs(jobs: int) -> None:
    found = batch(models(), "out", jobs=jobs, **SETTINGS)
    assert (found.exit_code, found.resumed) == (0, 0)
    assert sorted(lines(), key=lambda record: record.source) == list(found.records)
    check_folder(*NAMES)


def test_a_model_that_fails_stops_no_other() -> None:
    Path("b.tflite").write_bytes(b"no model")
    shutil.copy(FOLDER / "four_values_float32.tflite", "c.tflite")
    found = batch(models("a", "b", "c", "missing"), "out", clusters=16)
    assert not list(Path("out").glob(".*"))
    assert outcomes(found) == {"a": "done", "b": "failed", "c": "not smaller", "missing": "failed"}
    assert [record.exit_code for record in found.records] == [0, 3, 98, 3]
    assert found.exit_code == 98
    assert {path.name for path in Path("out").iterdir()} == {RESULTS, "a.tflite"}


def test_a_killed_worker_is_survived() -> None:
    found = batch(models(), "out", jobs=2, variants={"": {"data": "given:kills_once"}}, clusters=16)
    assert Path("killed").exists()
    assert found.exit_code == 0, found
    assert max(record.attempts for record in found.records) == 2
    check_folder(*NAMES)


def test_a_model_that_always_kills_its_worker_is_given_up() -> None:
    variants = {"good": {}, "bad": {"data": "given:kills"}}
    found = batch(models("a", "b"), "out", jobs=2, variants=variants, **SETTINGS)
    assert outcomes(found) == {"a.good": "done", "b.good": "done", "a.bad": "failed", "b.bad": "failed"}
    bad = found.records[2]
    assert bad.attempts == MOST_ATTEMPTS
    assert "was killed 3 times" in (bad.error or "")
    assert found.exit_code == 1
    check_folder("a.good", "b.good")


@pytest.fixture
def same_environment() -> Iterator[None]:
    """Dask sets variables for its workers and leaves them set, so that later tests would see them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("same_environment")
def test_a_cluster_of_processes_one_of_which_is_killed() -> None:
    distributed = pytest.importorskip("distributed")
    cluster_settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**cluster_settings) as workers:
        address = workers.scheduler_address
        variants = {"": {"data": "given:kills_once"}}
        found = batch(models(), "out", scheduler=address, variants=variants, clusters=16)
        assert found.exit_code == 0, found
        assert max(record.attempts for record in found.records) == 2
        check_folder(*NAMES)
        found = batch(models("a"), "out", scheduler=address, variants={"bad": {"data": "given:kills"}}, clusters=16)
        assert (outcomes(found), found.records[0].attempts) == ({"a.bad": "failed"}, MOST_ATTEMPTS)
        check_folder(*NAMES)


def test_an_interrupted_batch_goes_on(folder: Path) -> None:
    """The process and all its workers are killed in mid-run: what was done stays, the rest is done by the next run."""
    command = [*PROGRAM, "batch", *models(), "--out", "out", "--jobs", "1", "--clusters", "16"]
    Path("recipe.toml").write_text('data = "given:hangs_once"\n')
    process = subprocess.Popen([*command, "--recipe", "recipe.toml"], start_new_session=True)
    _wait_for(folder / "hung")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not {path.name for path in Path("out").glob("*.tflite")} & set(models())
    assert main(["batch", *models(), "--out", "out", "--clusters", "16", "--recipe", "recipe.toml", "-q"]) == 0
    check_folder(*NAMES)


def test_stopped_by_a_signal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("recipe.toml").write_text('data = "given:hangs_once"\n')
    command = [*PROGRAM, "batch", *models(), "--out", "out", "--jobs", "1", "--clusters", "16"]
    process = subprocess.Popen([*command, "--recipe", "recipe.toml"], start_new_session=True)
    _wait_for(folder / "hung")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert "Traceback" not in capfd.readouterr().err
    assert not list(Path("out").glob("*.tflite"))
    assert not list(Path("out").glob(".*.tmp"))


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_done_is_not_done_again() -> None:
    batch(models(), "out", **SETTINGS)
    before = [(path.name, path.stat().st_mtime_ns) for path in Path("out").iterdir()]
    found = batch(models(), "out", jobs=1, workers=1, **SETTINGS)
    assert (found.resumed, found.exit_code) == (3, 0)
    assert [(path.name, path.stat().st_mtime_ns) for path in Path("out").iterdir()] == before


@pytest.mark.parametrize("change", ["input", "settings", "version", "output", "removed", "samples"])
def test_what_has_changed_is_done_again(change: str) -> None:
    settings = {"clusters": 16, "force": True}
    batch(models("a", "b"), "out", **settings)
    output, expected = Path("out", "a.tflite"), 1
    if change == "input":
        shutil.copy(FOLDER / "fully_connected_float32.tflite", "a.tflite")
    elif change == "settings":
        settings, expected = {**settings, "clusters": 12}, 0
    elif change == "version":
        content = Path("out", RESULTS).read_text().replace('"version": "', '"version": "0.0.')
        Path("out", RESULTS).write_text(content)
        expected = 0
    elif change == "output":
        output.write_bytes(b"changed")
    elif change == "removed":
        output.unlink()
    else:
        shutil.copy(ROOT / "examples" / "digits.samples.npz", "a.samples.npz")
    found = batch(models("a", "b"), "out", **settings)
    assert found.resumed == expected
    assert found.records[0].outcome == ("failed" if change == "samples" else "done")
    assert len(lines()) == 4 - expected


def test_a_failure_is_tried_again_and_a_refusal_is_not() -> None:
    shutil.copy(FOLDER / "four_values_float32.tflite", "c.tflite")
    Path("b.tflite").unlink()
    assert batch(models(), "out", clusters=16).exit_code == 98
    shutil.copy("a.tflite", "b.tflite")
    found = batch(models(), "out", clusters=16)
    assert outcomes(found) == {"a": "done", "b": "done", "c": "not smaller"}
    assert found.resumed == 2


def test_a_line_cut_off_is_left_behind() -> None:
    batch(models("a", "b"), "out", **SETTINGS)
    results = Path("out", RESULTS)
    results.write_bytes(results.read_bytes()[:-40])
    found = batch(models(), "out", force=True, **SETTINGS)
    assert found.resumed == 1
    assert len(lines()) == 3
    check_folder(*NAMES)


def test_files_of_others_are_not_replaced() -> None:
    Path("out").mkdir()
    Path("out", "b.tflite").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        batch(models(), "out", **SETTINGS)
    assert Path("out", "b.tflite").read_bytes() == b"precious"
    assert not Path("out", "a.tflite").exists()
    assert batch(models(), "out", force=True, **SETTINGS).exit_code == 0
    check_folder(*NAMES)


def test_one_batch_at_a_time_in_a_folder() -> None:
    Path("out").mkdir()
    with Results(Path("out")), pytest.raises(OutputError, match="another batch"):
        batch(models(), "out", **SETTINGS)


def test_a_full_disk_leaves_whole_lines() -> None:
    """A limit on the length of files stands for the disk: a line that does not fit is taken back."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pathlib import Path\n"
        "from tflite_cluster.api.batch_results import RESULTS, Results\n"
        "from tflite_cluster.api.batch_task import BatchRecord\n"
        "record = BatchRecord('a', 'a', None, None, {}, '', 'done', 0, seconds=1.0)\n"
        "with Results(Path('out')) as results:\n"
        "    results.append(record)\n"
        "    length = Path('out', RESULTS).stat().st_size\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (length + 10, length + 10))\n"
        "    results.append(record)\n"
    )
    Path("out").mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OutputError" in done.stderr
    assert len(lines()) == 1
    assert Path("out", RESULTS).read_text().endswith("\n")


def test_odd_batches_are_refused() -> None:
    Path("other").mkdir()
    shutil.copy("a.tflite", "other")
    for refused, settings in (
        (["a.tflite", "other/a.tflite"], {}),
        ([], {}),
        (["a.tflite"], {"clusters": 1}),
        (["a.tflite"], {"jobs": 0}),
        (["a.tflite"], {"jobs": 2, "scheduler": "tcp://127.0.0.1:9"}),
    ):
        with pytest.raises((ConfigError, OutputError)):
            batch(refused, "out", **settings)
    with pytest.raises(OutputError, match="another file"):
        batch(["a.tflite"], ".")
    assert not list(Path("out").glob("*.tflite"))


def test_a_record_is_the_same_after_writing() -> None:
    record = BatchRecord("ä\n", "b", None, "0", {"keep": ["*"]}, "1", "done", 0, zip9_bytes=(2, 1))
    line = record.to_line()
    assert "\n" not in line
    assert BatchRecord.from_line(line) == record
    assert BatchRecord.from_line(line[:-1]) is None
    assert replace(record, version="2").holds_for != record.holds_for


def test_several_recipes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("small.toml").write_text("clusters = 12\n")
    Path("large.toml").write_text("clusters = 20\n")
    recipes = ["--recipe", "small.toml", "--recipe", "large.toml"]
    assert main(["batch", "a.tflite", "--out", "out", "--suffix", ".v2", *recipes]) == 0
    assert {path.name for path in Path("out").glob("*.tflite")} == {"a.small.v2.tflite", "a.large.v2.tflite"}
    assert "2 models: 2 done" in capsys.readouterr().out


def test_results_as_lines_and_as_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    """The page escapes a name that looks like markup, and lists errors first."""
    Path("<b>.tflite").write_bytes(b"nothing")
    command = ["batch", "a.tflite", "<b>.tflite", "--out", "out", "--page", "--clusters", "12"]
    assert main(command) == 3
    assert "2 models: 1 done, 1 failed" in capsys.readouterr().out
    page = Path("out", "results.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "2 models: 1 done, 1 failed" in page
    assert page.index("not a .tflite model") < page.index("Models in the order of the command") < page.index("Sizes")
    assert main(command) == 3  # which replaces the page
    assert "1 of them before this run" in Path("out", "results.html").read_text(encoding="utf-8")
    for line in Path("out", RESULTS).read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)


def test_a_bundle_of_two_models() -> None:
    """One of them is left unchanged, and counts as long as before."""
    four = (FOLDER / "four_values_float32.tflite").read_bytes()
    bundle_of(Path("b.task"), ("a.tflite", Path("a.tflite").read_bytes(), True), ("four.tflite", four, False))
    found = batch(["b.task"], "out", clusters=12, run=False)
    assert outcomes(found) == {"b.task": "done"}
    cluster_bundle("b.task", "alone.task", clusters=12, run=False)
    assert Path("out", "b.task").read_bytes() == Path("alone.task").read_bytes()
    (record,) = found.records
    assert record.file_bytes == (Path("a.tflite").stat().st_size + len(four),) * 2
    assert record.zip9_bytes is not None
    assert record.zip9_bytes[1] < record.zip9_bytes[0]


def test_a_page_replaces_nothing_that_no_batch_has_written(capsys: pytest.CaptureFixture[str]) -> None:
    """And a batch that cannot write it does no work."""
    page = Path("out", "results.html")
    page.parent.mkdir()
    page.write_text("mine", encoding="utf-8")
    command = ["batch", "a.tflite", "--out", "out", "--page", "--clusters", "12"]
    assert main(command) == 2
    assert page.read_text(encoding="utf-8") == "mine"
    page.unlink()
    page.mkdir()
    assert main([*command, "--force"]) == 2
    assert "results.html is a folder" in capsys.readouterr().err
    assert not page.with_name("a.tflite").exists()


def test_a_base_is_for_one_model_and_another_one_has_it_clustered_again(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"clusters": 12, "run": False, "base": "old.tflite"}
    with pytest.raises(ConfigError, match="leave out base: it is for one model, and 2 are given"):
        batch(["a.tflite", "b.tflite"], "out", **settings)
    for clusters in (8, 4):
        cluster("a.tflite", "old.tflite", clusters=clusters, run=False, force=True)
        assert batch(["a.tflite"], "out", **settings).resumed == 0
    assert batch(["a.tflite"], "out", **settings).resumed == 1
    assert batch(["a.tflite"], "out", **{**settings, "base": str(tmp_path / "old.tflite")}).resumed == 1
