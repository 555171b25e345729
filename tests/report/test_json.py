from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support.results import DONE, LEFT_ALONE, RESULTS, WRITTEN
from support.schemas import objects

from tflite_cluster.api.cluster import cluster
from tflite_cluster.config import Config, Settings
from tflite_cluster.errors import OutputError
from tflite_cluster.packing.coders import CODERS
from tflite_cluster.report.json import to_json, write_json
from tflite_cluster.result import FidelityError, NotSmallerError

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema" / "report.schema.json").read_text(encoding="utf-8"))
FIXTURES = ROOT / "tests" / "fixtures"
EXAMPLE = ROOT / "examples" / "digits.tflite"


def check(report: dict[str, Any]) -> dict[str, Any]:
    """The report after a trip through strict JSON; it must fit the schema."""
    again: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    assert again == report
    jsonschema.Draft202012Validator(SCHEMA).validate(again)
    return again


def test_schema_is_one_and_says_what_everything_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert len(objects(SCHEMA)) > 10
    for schema in objects(SCHEMA):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        for name, content in schema["properties"].items():
            target = SCHEMA["$defs"].get(content.get("$ref", "").rpartition("/")[2], {})
            assert content.get("description") or target.get("description"), name


def test_schema_knows_every_setting() -> None:
    assert SCHEMA["$defs"]["config"]["required"] == [field.name for field in fields(Config)]


@pytest.mark.parametrize("kind", RESULTS)
def test_every_kind_of_result_fits(kind: str) -> None:
    report = check(to_json(RESULTS[kind], kind in WRITTEN))
    assert report["written"] == (kind in WRITTEN)
    assert report["fidelity"]["passed"] == RESULTS[kind].fidelity.passed


def test_totals_and_tensors_are_where_they_are_promised() -> None:
    report = check(to_json(replace(DONE, tensors=DONE.tensors + LEFT_ALONE), True))
    assert report["sizes"]["zip9"] == {"before": 166_026, "after": 46_060, "ratio": 166_026 / 46_060}
    assert set(report["sizes"]) == {"file", *CODERS}
    assert report["sizes"]["deflate12"] is None
    assert report["tensors"][0]["values"] == {"before": 27_648, "after": 32}
    assert report["tensors"][0]["bits_per_weight"] == {"before": 29.71, "after": 7.02}
    assert report["tensors"][0]["span"] == {"start": 4096, "stop": 114_688}
    assert [tensor["clustered"] for tensor in report["tensors"]] == [True] * 2 + [False] * 4
    assert report["tensors"][-1]["operator"] is None
    assert report["fidelity"]["accuracy"]["drop_points"] == pytest.approx(100 / 360)


def test_a_search_is_told_in_full() -> None:
    report = check(to_json(RESULTS["searched"], True))
    search = report["strategy"]["search"]
    assert [point["multiplier"] for point in search["points"]] == [0.5, 1.25, 0.79057]
    assert search["chosen"] == search["points"][2]
    assert search["observed"] == 1
    assert search["floor"]["sqnr_db"] is None  # infinite
    tensors = report["tensors"]
    assert [tensor["role"] for tensor in tensors] == ["weight", "weight", "bias", "bias"]
    assert [tensor["clustered"] for tensor in tensors] == [True, True, False, False]
    assert [tensor["sensitivity"] for tensor in tensors] == [0.125, 0.5, None, None]
    assert [tensor["feedback_gain_db"] for tensor in tensors] == [None, 4.25, None, None]
    assert [tensor["price"] for tensor in tensors] == [1e-4, 2e-5, None, None]
    assert check(to_json(RESULTS["search_failed"], False))["strategy"]["search"]["chosen"] is None
    plain = check(to_json(DONE, True))
    assert plain["strategy"] == {"words": DONE.strategy.words, "left_out": [], "search": None}
    assert plain["tensors"][0]["price"] is None


@pytest.mark.parametrize("infinite", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_becomes_null(infinite: float) -> None:
    output = replace(DONE.fidelity.outputs[0], sqnr_db=infinite)
    tensor = replace(DONE.tensors[0], sqnr=infinite)
    result = replace(DONE, tensors=(tensor,), fidelity=replace(DONE.fidelity, outputs=(output,)))
    report = check(to_json(result, True))
    assert report["tensors"][0]["sqnr_db"] is None
    assert report["fidelity"]["outputs"][0]["sqnr_db"] is None


def test_data_is_named_and_never_copied_into_the_report() -> None:
    by_path = replace(DONE, config=Config(data=Path("samples.npz")))
    assert check(to_json(by_path, True))["config"]["data"] == "samples.npz"
    for data in (np.zeros((2, 8)), {"x": np.zeros((2, 8))}):
        assert check(to_json(replace(DONE, config=Config(data=data)), True))["config"]["data"] == "arrays"


def test_file_is_ascii_whatever_the_names(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(replace(DONE, source="modèle \x1b[31m \ud800.tflite"), path, written=True)
    assert path.read_bytes().isascii()
    assert json.loads(path.read_text())["source"] == "modèle \x1b[31m \ud800.tflite"


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing.*report\.json cannot be written"):
        write_json(DONE, tmp_path / "missing" / "report.json", written=True)


RUNS: dict[str, tuple[Path, Settings]] = {
    "checked, with labels": (EXAMPLE, {"clusters": 16, "coders": ("xz",)}),
    "one codebook a channel": (FIXTURES / "conv_2d_int8.tflite", {"granularity": "axis", "clusters": 8}),
    "two signatures": (FIXTURES / "two_signatures_float32.tflite", {"clusters": 16}),
    "constants left alone": (FIXTURES / "large_elementwise_float32.tflite", {"clusters": 16}),
    "cannot be run": (FIXTURES / "custom_operator_float32.tflite", {"clusters": 16}),
    "no check and no sizes": (FIXTURES / "conv_2d_float32.tflite", {"check": False, "measure": False}),
    "searched": (FIXTURES / "conv_2d_int8.tflite", {"force": True}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_real_runs_fit(kind: str) -> None:
    source, settings = RUNS[kind]
    result = cluster(source, **settings)
    report = check(to_json(result, False))
    assert report["source"] == source.name
    assert len(report["tensors"]) == len(result.tensors) > 0


@pytest.mark.slow
def test_runs_that_fail_fit_too() -> None:
    with pytest.raises(FidelityError) as failed:
        cluster(EXAMPLE, clusters=2, min_agreement=100)
    assert [gate["passed"] for gate in check(to_json(failed.value.result, False))["fidelity"]["gates"]] == [False]
    with pytest.raises(NotSmallerError) as larger:
        cluster(FIXTURES / "four_values_float32.tflite", run=False)
    assert check(to_json(larger.value.result, False))["tensors"][0]["clustered"] is False
