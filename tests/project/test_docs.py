"""Every command and every piece of Python in the documents does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.crafting import craft

import tflite_cluster
from tflite_cluster.cli import main

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in NAMES}
COMMANDS = [
    line
    for text in DOCUMENTS.values()
    for block in re.findall(r"```sh\n(.*?)```", text, re.S)
    for line in block.splitlines()
]
TROUBLES = re.findall(r"```text\n\$ (.*?)\n(.*?)```", DOCUMENTS["troubleshooting.md"], re.S)
SAMPLES = 30


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documents speak of."""
    shutil.copy(ROOT / "examples" / "digits.tflite", tmp_path / "model.tflite")
    shutil.copy(ROOT / "tests" / "fixtures" / "conv_2d_int8.tflite", tmp_path / "model_int8.tflite")
    with np.load(ROOT / "examples" / "digits.samples.npz") as samples:
        x, y = samples["x"][:SAMPLES], samples["y"][:SAMPLES]
    np.savez(tmp_path / "samples.npz", x=x, y=y)
    np.save(tmp_path / "samples.npy", x)
    np.save(tmp_path / "labels.npy", y)
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(x):
        Image.fromarray(np.round(image[..., 0] * 255).astype(np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    rows = [f"{number}.png,{label}" for number, label in enumerate(y)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["samples.md"], re.S)
    (tmp_path / "mine.py").write_text(block, encoding="utf-8")
    (recipe,) = re.findall(r"```toml\n(.*?)```", DOCUMENTS["recipes.md"], re.S)
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(command)
    assert program == "tflite-cluster"
    clusters = "smaller.tflite" in arguments
    if "released.tflite" in arguments:
        tflite_cluster.cluster("model.tflite", "released.tflite", clusters=16, data="samples.npz", measure=False)
    if clusters and not {"--max-drop", "--max-size", "--recipe", "--save-recipe"} & set(arguments):
        arguments += ["--clusters", "16"]  # which takes less time than a search
    assert main(arguments) == 0
    assert (workplace / "smaller.tflite").is_file() == clusters
    if clusters and ("labels." in command or "mine" in command):
        assert "30 labelled samples" in capsys.readouterr().out


def compiled() -> bytes:
    """A model of one operator that only the Edge TPU has."""
    tensors = [{"name": name, "shape": np.array([1, 8], np.int32), "type": 9, "buffer": 0} for name in (b"x", b"y")]
    x, y = np.array([0], np.int32), np.array([1], np.int32)
    graph = {"tensors": tensors, "inputs": x, "outputs": y, "operators": [{"inputs": x, "outputs": y}]}
    code = {"deprecated_builtin_code": 32, "builtin_code": 32, "custom_code": b"edgetpu-custom-op"}
    return craft({"version": 3, "operator_codes": [code], "subgraphs": [graph], "buffers": [{}]})


@pytest.mark.slow
@pytest.mark.parametrize(("command", "said"), TROUBLES)
def test_trouble(command: str, said: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixtures = ROOT / "tests" / "fixtures"
    shutil.copy(fixtures / "custom_operator_float32.tflite", workplace / "custom.tflite")
    shutil.copy(fixtures / "four_values_float32.tflite", workplace / "few.tflite")
    (workplace / "page.tflite").write_bytes(b"<!DOCTYPE html>" * 100)
    with zipfile.ZipFile(workplace / "hand.task", "w") as bundle:
        for name in ("hand_detector.tflite", "hand_landmarks_detector.tflite"):
            bundle.write(workplace / "model.tflite", name)
    codes = ", ".join(f"0x{byte:02x}" for byte in (workplace / "model.tflite").read_bytes())
    (workplace / "model.cc").write_text(f"const unsigned char model[] = {{{codes}}};\n")
    (workplace / "compiled.tflite").write_bytes(compiled())
    (workplace / "cut.tflite").write_bytes((workplace / "model.tflite").read_bytes()[:50_000])
    np.savez("misfit.npz", x=np.zeros((3, 5), np.float32))
    with np.load("samples.npz") as samples:
        np.savez("from_one.npz", x=samples["x"], y=samples["y"] + 1)
    code = main(shlex.split(command)[1:])
    output = capsys.readouterr()
    assert said.rstrip("\n") in output.out + output.err
    assert (code != 0) == ("error" in said)


def test_there_are_troubles() -> None:
    assert len(TROUBLES) == 14


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.usefixtures("workplace")
def test_python_of_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["inspect.md"], re.S)
    exec(block, {})
    assert re.fullmatch(r".+: \d+ values, [\d.]+ bits per weight\n", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_python_of_choosing_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["choosing-a-limit.md"], re.S)
    exec(block, {})
    assert capsys.readouterr().out.count(" times smaller, ") == 3


@pytest.mark.usefixtures("workplace")
@pytest.mark.slow
def test_python_of_microcontrollers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (extra tflm)")
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["microcontrollers.md"], re.S)
    exec(block, {})
    assert 0 < int(capsys.readouterr().out) < Path("model.tflite").stat().st_size


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCUMENTS[name]):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_headings(name: str) -> None:
    for page, heading in re.findall(r"\]\(([\w-]*(?:\.md)?)#([^)]+)\)", DOCUMENTS[name]):
        headings = re.findall(r"^#+ (.+)$", DOCUMENTS[page or name], re.M)
        anchors = {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in headings}
        assert heading in anchors, f"{page}#{heading}"


def test_it_is_installed_as_the_readme_says() -> None:
    """Whose command CI runs."""
    install, activate = re.findall(r"```text\n(.*?)\n```", DOCUMENTS["index.md"], re.S)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(f"{install} && ") for line in readme)
    assert activate in readme


def test_all_public_names_are_described() -> None:
    described = re.findall(r"^::: tflite_cluster\.(\w+)$", DOCUMENTS["python-api.md"], re.M)
    assert sorted(described) == sorted(set(tflite_cluster.__all__) - {"__version__"})


def test_cells_of_results_hold_one_quantity() -> None:
    cells = [cell for row in re.findall(r"^\|(.*)\|$", DOCUMENTS["results.md"], re.M) for cell in row.split("|")[1:]]
    assert len(cells) > 20
    assert [cell for cell in cells if "(" in cell or "→" in cell] == []


def test_every_failure_has_a_test() -> None:
    """Those that the table names."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", DOCUMENTS["safety.md"]))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in tests} == set()


@pytest.mark.slow
def test_the_recipe_from_python(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["recipes.md"], re.S)
    exec(block, {})
    assert "searched on" in capsys.readouterr().out
    assert (workplace / "smaller.tflite").is_file()
