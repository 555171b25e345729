"""Recipes: settings from a file, rules for some weights, and a run written down that can be repeated to the byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from tflite_cluster import ConfigError, cluster, load_recipe
from tflite_cluster.cli import main
from tflite_cluster.config import Rule, find_rule
from tflite_cluster.model.read import open_model
from tflite_cluster.model.select import select
from tflite_cluster.recipe.keys import CHOSEN, RULE, SETTINGS, TABLES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits.tflite"
SCHEMA = json.loads((ROOT / "schema" / "recipe.schema.json").read_text(encoding="utf-8"))
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in.tflite").write_bytes(DIGITS.read_bytes())
    with np.load(DIGITS.with_suffix(".samples.npz")) as samples:
        np.savez("digits.npz", **{name: values[:60] for name, values in samples.items()})
    return tmp_path


def recipe(text: str) -> str:
    Path("recipe.toml").write_text(text, encoding="utf-8")
    return "recipe.toml"


def values(path: str) -> dict[str, int]:
    """Distinct values of each weight."""
    model = open_model(Path(path))
    weights = select(model)[0]
    decoded = {w.tensor.name: w.codes(model) for w in weights}
    return {name: len(np.unique(codes)) for name, codes in decoded.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--data", "digits.npz"],
        ["--data", "digits.npz", "--store", "int8", "--seed", "3"],
        ["--max-size", "5x"],
        ["--min-sqnr", "18", "--keep", "*dense*"],
        ["--clusters", "9", "--no-run"],
        ["--clusters", "9", "--no-check"],
        ["--data", "digits.npz", "--no-check"],
        ["--no-run"],
        ["--clusters", "9", "--granularity", "axis", "--force"],
    ],
    ids=" ".join,
)
def test_a_saved_recipe_gives_the_same_bytes(options: list[str], capsys: Captured) -> None:
    assert main(["in.tflite", "one.tflite", "--save-recipe", "saved.toml", "--no-sizes", *options]) == 0
    first = capsys.readouterr().out
    saved = tomllib.loads(Path("saved.toml").read_text(encoding="utf-8"))
    jsonschema.validate(saved, SCHEMA)
    assert ("chosen" in saved) == ("candidate" in first)
    assert main(["in.tflite", "other.tflite", "--recipe", "saved.toml", "--no-sizes", "--force"]) == 0
    assert Path("other.tflite").read_bytes() == Path("one.tflite").read_bytes()
    if "chosen" in saved:
        assert "chose before" in capsys.readouterr().out


def test_rules_by_operator_and_by_name() -> None:
    name, *others = values("in.tflite")
    rules = "[operators]\nCONV_2D = false\nFULLY_CONNECTED.clusters = 7\n"
    text = f'clusters = 12\nrun = false\n{rules}[tensors]\n"{name}".clusters = 5\n'
    assert main(["in.tflite", "out.tflite", "--recipe", recipe(text)]) == 0
    before, after = values("in.tflite"), values("out.tflite")
    operators = {weight.tensor.name: weight.operators for weight in select(open_model(Path("in.tflite")))[0]}
    assert after[name] == 5
    for other in others:
        expected = {"CONV_2D": before[other], "FULLY_CONNECTED": 7, "DEPTHWISE_CONV_2D": 12}
        assert after[other] == expected[next(iter(operators[other]))]


@pytest.mark.slow
@pytest.mark.parametrize("run", [True, False])
def test_a_search_leaves_fixed_counts_as_they_are(run: bool) -> None:
    settings: dict[str, Any] = load_recipe(recipe("[operators]\nDEPTHWISE_CONV_2D.clusters = 99\nCONV_2D = false\n"))
    result = cluster("in.tflite", "out.tflite", run=run, measure=False, force=True, **settings)
    for tensor in result.tensors:
        assert tensor.clustered == (tensor.role == "weight" and tensor.operator != "CONV_2D")
        if tensor.operator == "DEPTHWISE_CONV_2D":
            assert tensor.values_after == 99


def test_the_command_line_wins() -> None:
    text = 'clusters = 4\nrun = false\nkeep = ["*dense*"]\n'
    assert main(["in.tflite", "out.tflite", "--recipe", recipe(text), "--clusters", "9"]) == 0
    before, after = values("in.tflite"), values("out.tflite")
    assert {after[name] for name in after if "dense" not in name} == {9}
    assert all(after[name] == before[name] for name in after if "dense" in name)


@pytest.mark.slow
def test_one_normalisation_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), 60 * number).save(tmp_path / "photos" / f"{number}.png")
    command = ["in.tflite", "--clusters", "64", "--no-sizes", "--data", str(tmp_path / "photos"), "--force", "--recipe"]
    path = recipe("mean = 127.5\nstd = 127.5\n")
    assert main([*command, path, "one.tflite"]) == 0
    assert main([*command, path, "other.tflite", "--normalize", "0..1"]) == 0
    assert Path("one.tflite").read_bytes() != Path("other.tflite").read_bytes()
    path = recipe('normalize = "-1..1"\n')
    assert main([*command, path, "short.tflite"]) == 0
    assert Path("one.tflite").read_bytes() == Path("short.tflite").read_bytes()
    assert main([*command, path, "long.tflite", "--mean", "0", "--std", "255"]) == 0
    assert Path("other.tflite").read_bytes() == Path("long.tflite").read_bytes()


@pytest.mark.slow
def test_a_target_takes_the_place_of_what_was_chosen(capsys: Captured) -> None:
    assert main(["in.tflite", "one.tflite", "--save-recipe", "saved.toml", "--max-size", "3x"]) == 0
    assert main(["in.tflite", "other.tflite", "--recipe", "saved.toml", "--min-sqnr", "10"]) == 0
    assert "gate min-sqnr holds" in capsys.readouterr().out
    assert main(["in.tflite", "third.tflite", "--recipe", "saved.toml", "--clusters", "24", "--no-sizes"]) == 0
    assert max(values("third.tflite").values()) == 24


@pytest.mark.slow
def test_prices_are_for_one_model_and_its_weights(capsys: Captured) -> None:
    assert main(["in.tflite", "one.tflite", "--save-recipe", "saved.toml", "--no-sizes"]) == 0
    assert main(["one.tflite", "other.tflite", "--recipe", "saved.toml"]) == 2
    assert "one.tflite: the recipe's prices were chosen for another model" in capsys.readouterr().err
    assert main(["in.tflite", "other.tflite", "--recipe", "saved.toml", "--keep", "*dense*"]) == 2
    assert "the recipe's prices are not for the same weights" in capsys.readouterr().err
    assert main(["in.tflite", "other.tflite", "--recipe", "saved.toml", "--no-run"]) == 2
    assert (
        "leave out the recipe's [chosen]: it needs the model to be run; or leave out --no-run"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_paths_count_from_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("nested").mkdir()
    Path("nested/recipe.toml").write_text('data = "../digits.npz"\n')
    assert load_recipe("nested/recipe.toml")["data"] == str(Path("nested/../digits.npz"))
    assert main(["in.tflite", "one.tflite", "--data", "digits.npz", "--save-recipe", "nested/saved.toml"]) == 0
    monkeypatch.chdir("nested")
    assert main(["../in.tflite", "other.tflite", "--recipe", "saved.toml", "--no-sizes"]) == 0
    assert Path("other.tflite").read_bytes() == Path("../one.tflite").read_bytes()
    Path("saved.toml").write_text('data = "my.module:samples"\n')
    assert load_recipe("saved.toml")["data"] == "my.module:samples"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clusters = ", "recipe.toml: the recipe cannot be read: "),
        ("cluters = 8", "no setting is called 'cluters': did you mean 'clusters'?"),
        ("max_size = 8", "no setting is called 'max_size': did you mean 'max-size'?"),
        ("qqq = 8", "no setting is called 'qqq': there are clusters, "),
        ('clusters = "8"', "clusters must be a whole number, not '8'"),
        ("clusters = true", "clusters must be a whole number, not True"),
        ("operators = 3", "operators must be a table, not 3"),
        ("[operators]\nCONV_2D = true", "operators.'CONV_2D' must be false, to leave them alone, or hold clusters"),
        ("[operators.CONV_2D]\n", "operators.'CONV_2D' says nothing"),
        ("[operators.CONV_2D]\nclusters = 1", "operators.'CONV_2D': clusters must be between 2 and 256, not 1"),
        ("[operators.CONV_2D]\nprice = 1", "operators.'CONV_2D': no setting is called 'price'"),
        ("[chosen]\nin-order = true", "chosen lacks model, prices, weights"),
        ('[chosen]\nin-order = true\nmodel = ""\nweights = [1]\nprices = []', "a positive number for each"),
        ('[chosen]\nin-order = true\nmodel = ""\nweights = [1]\nprices = [inf]', "a positive number for each"),
        ('[chosen]\nin-order = true\nmodel = ""\nweights = [1]\nprices = [nan]', "a positive number for each"),
        ('[chosen]\nin-order = true\nmodel = ""\nweights = ["1"]\nprices = [1.0]', "weights must be a list of whole"),
        ("keep = [3]", "keep must be a list of texts, not [3]"),
        ('mean = ["a"]\nstd = 1', "mean must be a list of numbers, not ['a']"),
        ("[operators]\nCONV_3D = false", "operator 'CONV_3D' fits no weight of in.tflite"),
        ('[tensors]\n"nobody/*" = false', "name 'nobody/*' fits no weight of in.tflite"),
        ("min-sqnr = 1" + "0" * 400, "min-sqnr holds a number that is too large"),
        ("mean = [1" + "0" * 400 + "]", "mean holds a number that is too large"),
        ("clusters = 0x" + "f" * 5000, "clusters holds a number that is too large"),
        ("keep = " + "[" * 5000, "recipe.toml: the recipe cannot be read: "),
        ("\ufeffclusters = 1", "--clusters must be"),
        ("clusters = 1", "--clusters must be between 2 and 256, not 1"),
    ],
)
def test_recipes_that_cannot_be_taken(text: str, words: str, capsys: Captured) -> None:
    assert main(["in.tflite", "out.tflite", "--recipe", recipe(text), "--no-run", "--no-sizes"]) == 2
    assert words in capsys.readouterr().err
    assert not Path("out.tflite").exists()


def test_data_that_no_file_can_be(capsys: Captured) -> None:
    assert main(["in.tflite", "out.tflite", "--recipe", recipe('data = "a\\u0000b"'), "--clusters", "8"]) == 3
    assert "not a .npy or .npz file" in capsys.readouterr().err


def test_recipes_that_are_not_there_or_not_text(capsys: Captured) -> None:
    Path("binary.toml").write_bytes(b"\xff\xfe\0")
    for name in ("missing.toml", "binary.toml"):
        assert main(["in.tflite", "out.tflite", "--recipe", name]) == 2
        assert f"{name}: the recipe cannot be read" in capsys.readouterr().err


def test_a_recipe_is_not_written_over_something(capsys: Captured) -> None:
    Path("saved.toml").write_text("mine")
    command = ["in.tflite", "out.tflite", "--clusters", "8", "--no-run", "--no-sizes", "--save-recipe"]
    assert main([*command, "saved.toml"]) == 2
    assert main([*command, "in.tflite"]) == 2
    assert main([*command, "missing/saved.toml"]) == 2
    assert Path("saved.toml").read_text() == "mine"
    capsys.readouterr()
    with pytest.raises(ConfigError, match="chosen prices"):
        cluster("in.tflite", clusters=8, chosen=load_recipe(recipe(CHOSEN_FOR_NOTHING))["chosen"])


CHOSEN_FOR_NOTHING = '[chosen]\nmodel = "0"\nin-order = false\nweights = []\nprices = []\n'


def test_the_more_specific_rule_counts() -> None:
    rules = [Rule("a*", False, 3), Rule("CONV_2D", True, 4), Rule("ab*", False, None)]
    assert find_rule(rules, "abc", {"CONV_2D"}) == rules[2]
    assert find_rule(rules, "ac", {"CONV_2D"}) == rules[0]
    assert find_rule(rules, "x", {"CONV_2D"}) == rules[1]
    assert find_rule(rules, "x", {"GATHER"}) is None


def test_the_schema_knows_every_key() -> None:
    assert set(SCHEMA["properties"]) == {*SETTINGS, *TABLES}
    assert set(SCHEMA["properties"]["chosen"]["properties"]) == set(CHOSEN)
    assert set(SCHEMA["$defs"]["rule"]["oneOf"][1]["properties"]) == set(RULE)
