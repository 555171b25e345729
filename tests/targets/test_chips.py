"""`--target`, from one end to the other, with the targets' own packages where they are installed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.fixture_models import FOLDER

from tflite_cluster import (
    ConfigError,
    HandedOff,
    ModelError,
    OutputError,
    Result,
    Rule,
    cluster,
    hand_off,
    inspect,
    settings_for,
)
from tflite_cluster.cli import main
from tflite_cluster.clustering.palette import code_bits
from tflite_cluster.errors import InterpreterFailure
from tflite_cluster.fidelity.gate import GateOutcome
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.read import open_model
from tflite_cluster.packing.sizes import SizeMeasure
from tflite_cluster.run.size_limit import SizeLimit
from tflite_cluster.targets.chips import NAMES, ethos_u, find_chip, tflm
from tflite_cluster.targets.chips.ethos_u import encoded_weight_bytes, estimated_weight_bytes, summary_bytes
from tflite_cluster.targets.chips.tools import tflm_runtime

DIGITS = Path(__file__).parents[2] / "examples" / "digits.tflite"
TFLM = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed (extra tflm)")
VELA = pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed (extra ethos-u)")
LIGHT = {"check": False, "run": False, "measure": False}


def handed(target: str, source: Path, folder: Path) -> HandedOff:
    clustered = folder / "clustered.tflite"
    cluster(source, clustered, **settings_for(target, source, **LIGHT))
    return hand_off(target, source, clustered)


@TFLM
@pytest.mark.parametrize(
    "source",
    [
        DIGITS,
        *(FOLDER / f"{name}.tflite" for name in ("fully_connected_per_tensor_int8", "two_ways_int8", "svdf_int8")),
    ],
    ids=lambda path: path.stem,
)
def test_tflm_computes_the_same_with_a_smaller_file(source: Path, tmp_path: Path) -> None:
    result = handed("tflm", source, tmp_path)
    assert result.not_done is None
    assert result.proof is not None
    specification, compressed = result.files
    assert specification.read_text(encoding="utf-8").count("index_bitwidth") >= 1
    assert result.bytes_before == source.stat().st_size
    assert result.bytes_after == compressed.stat().st_size < source.stat().st_size
    decodes = [operator for operator in open_model(compressed).subgraphs[0].operators if operator.is_custom]
    assert {operator.name for operator in decodes} == {"TFLM_DECODE"}
    assert set(result.operators) >= {"TFLM_DECODE"}


@TFLM
def test_tables_by_channel_are_needed_where_there_are_several_scales(tmp_path: Path) -> None:
    """The pinned kernel reads one table for each scale, whatever the specification says."""
    source = FOLDER / "two_ways_int8.tflite"
    specification, _ = handed("tflm", source, tmp_path).files
    text = specification.read_text(encoding="utf-8")
    assert "per_channel" in text
    wrong = text.replace("per_channel:\n            axis: 0", "per_tensor:").replace(
        "per_channel:\n            axis: 3", "per_tensor:"
    )
    model = tmp_path / "clustered.tflite"
    main_graph = open_model(model).subgraphs[0]
    counts = len(main_graph.inputs), len(main_graph.outputs)
    right = tflm_runtime.compare_runs(model, tflm_runtime.compress(model, text), *counts, 0)
    assert right.equal == right.samples
    assert right.distinct > 1
    assert tflm_runtime.compare_runs(model, tflm_runtime.compress(model, wrong), *counts, 0).equal < right.samples


@TFLM
def test_a_model_that_tflite_micro_cannot_run_is_not_compressed(tmp_path: Path) -> None:
    result = handed("tflm", FOLDER / "conv_3d_float32.tflite", tmp_path)
    assert "cannot run" in (result.not_done or "")
    assert [path.suffix for path in result.files] == [".yaml"]
    assert not (tmp_path / "clustered.tflm.tflite").exists()


def test_weights_that_gain_nothing_stay_as_they_are(tmp_path: Path) -> None:
    source = FOLDER / "two_ways_int8.tflite"
    settings = settings_for("tflm", source, **LIGHT)
    result = cluster(source, tmp_path / "clustered.tflite", **settings)
    weights = [tensor for tensor in result.tensors if tensor.role == "weight"]
    kept = [tensor for tensor in weights if not tensor.clustered]
    assert kept
    assert len(kept) < len(weights)
    chip = find_chip("tflm")
    model = open_model(source)
    obstacles = {weight.tensor.name: chip.obstacle(weight, model, 16) for weight in analyse(model).weights}
    assert {tensor.name for tensor in kept} == {name for name, reason in obstacles.items() if reason is not None}


@VELA
def test_vela_encodes_fewer_bytes(tmp_path: Path) -> None:
    source = FOLDER / "two_ways_int8.tflite"
    result = handed("ethos-u", source, tmp_path)
    assert result.not_done is None
    assert result.bytes_before == encoded_weight_bytes(source)
    assert result.bytes_after == encoded_weight_bytes(tmp_path / "clustered.tflite") < 0.6 * result.bytes_before
    assert max(weight.values for weight in inspect(tmp_path / "clustered.tflite").weights) <= 16


@pytest.mark.parametrize("text", ["", "network\nmodel\n", "total_npu_encoded_weights\nnan\n"])
def test_a_summary_of_another_release_of_vela_is_said(text: str, tmp_path: Path) -> None:
    summary = tmp_path / "model_summary.csv"
    summary.write_text(text, encoding="utf-8")
    with pytest.raises(InterpreterFailure, match="no number of 'total_npu_encoded_weights': pip install"):
        summary_bytes(summary)


@pytest.mark.slow
@VELA
def test_a_size_is_counted_in_bytes_of_vela(tmp_path: Path) -> None:
    source, destination = FOLDER / "conv_2d_int8.tflite", tmp_path / "clustered.tflite"
    settings = settings_for("ethos-u", source, max_size="2x", effort="fast", force=True, measure=False)
    gate = size_gate(cluster(source, destination, **settings))
    assert gate.limit == encoded_weight_bytes(source) // 2
    assert gate.passed
    assert gate.measured == encoded_weight_bytes(destination) > 0.9 * gate.limit
    assert "the Vela encoding of the weights (5." in gate.why


@pytest.mark.slow
def test_a_size_is_estimated_where_vela_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_u, "installed_version", lambda _package: None)
    source, destination = FOLDER / "conv_2d_int8.tflite", tmp_path / "clustered.tflite"
    settings = settings_for("ethos-u", source, max_size="2x", effort="fast", force=True, measure=False)
    gate = size_gate(cluster(source, destination, **settings))
    assert gate.limit == estimated_weight_bytes(source) // 2
    assert gate.measured == estimated_weight_bytes(destination) <= gate.limit
    words = "Vela encoding of the weights (estimated, because Vela is not installed)"
    assert words in gate.why
    handed_off = hand_off("ethos-u", source, destination)
    assert (handed_off.what, handed_off.bytes_after) == (words, gate.measured)
    assert "pip install" in (handed_off.not_done or "")


def size_gate(result: Result) -> GateOutcome:
    (gate,) = [gate for gate in result.fidelity.gates if gate.gate == "max-size"]
    return gate


@VELA
@pytest.mark.parametrize("name", ["two_ways_int8", "fully_connected_int8"])
def test_the_estimate_is_near_what_vela_encodes(name: str) -> None:
    source = FOLDER / f"{name}.tflite"
    assert estimated_weight_bytes(source) == pytest.approx(encoded_weight_bytes(source), rel=0.2)


def test_a_coder_is_refused_where_the_chip_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_u, "installed_version", lambda _package: None)
    source = FOLDER / "two_ways_int8.tflite"
    settings = settings_for("ethos-u", source, max_size="2x", coder="xz")
    with pytest.raises(ConfigError, match="leave out coder: with target ethos-u, max_size counts the Vela encoding"):
        cluster(source, **settings)


@VELA
def test_a_size_is_refused_where_vela_has_nothing_to_encode() -> None:
    source = FOLDER / "svdf_int8.tflite"
    with pytest.raises(ConfigError, match="leave out max_size: Vela leaves all weights"):
        cluster(source, **settings_for("ethos-u", source, max_size="2x"))


def test_a_model_that_the_chip_cannot_measure_misses_its_size(tmp_path: Path) -> None:
    def fail(_model: Path) -> int:
        raise InterpreterFailure("Vela fails: no memory")

    outcome = SizeLimit(1000, SizeMeasure("Vela encoding", 2000, fail)).outcome(tmp_path / "model.tflite")
    assert (outcome.measured, outcome.passed) == (None, False)
    assert outcome.why == "it cannot be measured: Vela fails: no memory"


@pytest.mark.parametrize(("size", "where"), [(1000, ""), (1001, " in the smallest candidate")])
def test_a_size_is_told_with_the_words_of_its_measure(size: int, where: str, tmp_path: Path) -> None:
    measure = SizeMeasure("Vela encoding of the weights (5.2.0)", 2000, lambda _model: size)
    outcome = SizeLimit(1000, measure).outcome(tmp_path / "model.tflite")
    assert outcome.passed == (not where)
    assert outcome.why == (
        f"the Vela encoding of the weights (5.2.0) takes {size:,} bytes{where}, and 1,000 are asked for"
    )


@VELA
def test_what_vela_cannot_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    with pytest.raises(InterpreterFailure, match="Vela fails"):
        encoded_weight_bytes(tmp_path / "broken.tflite")


@pytest.mark.parametrize("name", ["conv_2d_float32", "conv_2d_hybrid_int8", "conv_2d_uint8"])
def test_ethos_u_needs_an_int8_model(name: str) -> None:
    with pytest.raises(ModelError, match="needs an int8 model"):
        settings_for("ethos-u", FOLDER / f"{name}.tflite")


@pytest.mark.parametrize(("target", "most"), [("ethos-u", 32), ("tflm", 128)])
def test_no_more_values_than_the_target_takes(target: str, most: int) -> None:
    source = DIGITS if target == "tflm" else FOLDER / "two_ways_int8.tflite"
    assert settings_for(target, source, clusters=most)["clusters"] == most
    with pytest.raises(ConfigError, match=f"at most {most}"):
        settings_for(target, source, clusters=most + 1)
    with pytest.raises(ConfigError, match=f"at most {most}"):
        settings_for(target, source, rules=[Rule("CONV_2D", True, most + 1)])


def test_a_chip_searches_unless_a_number_is_given_or_nothing_runs() -> None:
    source = FOLDER / "two_ways_int8.tflite"
    assert settings_for("ethos-u", source)["clusters"] is None
    assert settings_for("ethos-u", source, run=False)["clusters"] == 16
    assert settings_for("tflm", source, run=False)["clusters"] == 16
    assert settings_for("ethos-u", source)["target"] == "ethos-u"


@pytest.mark.slow
def test_a_search_for_tables_keeps_a_size(tmp_path: Path) -> None:
    source, destination = FOLDER / "fully_connected_per_tensor_int8.tflite", tmp_path / "clustered.tflite"
    settings = settings_for("tflm", source, max_size="85%", effort="fast", force=True, measure=False)
    gate = size_gate(cluster(source, destination, **settings))
    assert gate.passed
    assert gate.limit == int(0.85 * source.stat().st_size)
    assert gate.measured == tflm.estimated_bytes(destination)
    assert "the file for tflite-micro (estimated) takes" in gate.why
    handed_off = hand_off("tflm", source, destination)
    if handed_off.bytes_after is not None:  # tflite-micro is installed
        assert handed_off.bytes_after == pytest.approx(gate.measured, rel=0.05)


@pytest.mark.slow
def test_a_search_counts_the_bits_of_palette_indices(tmp_path: Path) -> None:
    source = FOLDER / "two_ways_int8.tflite"
    settings = settings_for("ethos-u", source, effort="fast", force=True, measure=False)
    result = cluster(source, tmp_path / "clustered.tflite", **settings)
    search = result.strategy.search
    assert search is not None
    assert search.chosen is not None
    model = open_model(tmp_path / "clustered.tflite")
    weights = analyse(model).weights
    codes = [weight.codes(model) for weight in weights]
    bits = sum(code_bits(each) * each.size for each in codes) / sum(each.size for each in codes)
    assert bits == pytest.approx(search.chosen.bits, rel=0.02)


@pytest.mark.parametrize("setting", [{"store": "int8"}, {"granularity": "axis"}])
def test_settings_that_contradict_a_target_are_refused(setting: dict[str, str]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=name):
        settings_for("tflm", DIGITS, **setting)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="ethos-u, tflm"):
        settings_for("tpu", DIGITS)


def test_a_name_with_the_signs_of_a_pattern_is_kept_alone() -> None:
    from fnmatch import fnmatchcase

    from tflite_cluster.api.handoff import _pattern

    for name in ("a*b", "a?b", "a[0]b", "a]b[", "plain/name"):
        assert fnmatchcase(name, _pattern(name))
    assert not fnmatchcase("axb", _pattern("a*b"))


@pytest.mark.parametrize("target", NAMES)
def test_on_the_command_line(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = FOLDER / "two_ways_int8.tflite", tmp_path / "out.tflite"
    arguments = [str(source), str(out), "--target", target, "--no-run", "--force"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert re.match(rf"{target}: [^;]+ \([\d.]+× smaller(, by an estimate)?\); [^;]+ zipped", said)
    assert f"For {target}:" in said
    assert (tmp_path / "out.tflm.yaml").exists() == (target == "tflm")


def test_a_file_in_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out.tflm.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"out\.tflm\.yaml exists"):
        hand_off("tflm", DIGITS, tmp_path / "out.tflite")
    assert main([str(DIGITS), str(tmp_path / "out.tflite"), "--target", "tflm", "--no-run"]) == 2
    assert not (tmp_path / "out.tflite").exists()


def test_quiet_still_says_what_was_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("tflite_micro") is None:
        source, words = DIGITS, "tflite-micro is not installed"
    else:
        source, words = FOLDER / "conv_3d_float32.tflite", "cannot run"
    assert main([str(source), str(tmp_path / "out.tflite"), "--target", "tflm", "--no-run", "--force", "-q"]) == 0
    written = capsys.readouterr()
    assert written.out == ""
    assert words in written.err


@TFLM
def test_a_limit_that_only_the_estimate_keeps_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = FOLDER / "fully_connected_per_tensor_int8.tflite", tmp_path / "o.tflite"
    limit = ["--effort", "fast", "--target", "tflm", "--max-size", "75%"]
    assert main([str(source), str(output), *limit]) == 99
    said = capsys.readouterr().err
    assert "the file for tflm takes" in said
    assert "ask for less" in said
    assert output.exists()
