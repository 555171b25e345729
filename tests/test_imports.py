"""What may import what: arrows between the packages point one way, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tflite_cluster"
MODULES = sorted(PACKAGE.rglob("*.py"))

BASICS = {"errors", "files", "progress", "units", "version"}
"""What any part may use."""

STAGES: dict[str, set[str]] = {
    "interpreter": set(),
    "model": set(),
    "clustering": set(),
    "packing": set(),
    "fidelity": {"interpreter"},
    "samples": {"model", "interpreter"},
    "config": {"fidelity", "packing"},
    "calibration": {"interpreter", "model", "samples"},
    "search": {"calibration", "clustering", "config", "fidelity", "interpreter", "model", "samples"},
    "result": {"config", "fidelity", "search"},
    "targets": {"clustering", "interpreter", "model", "packing", "search"},
    "recipe": {"config", "fidelity", "result"},
    "run": {
        *("calibration", "clustering", "config", "fidelity", "interpreter", "model", "packing"),
        *("result", "samples", "search", "targets"),
    },
    "api": {
        *("calibration", "config", "fidelity", "interpreter", "model", "packing"),
        *("result", "run", "samples", "search", "targets"),
    },
    "report": {"api", "config", "fidelity", "model", "packing", "result", "run", "search", "targets"},
    "cli": {"api", "config", "fidelity", "packing", "recipe", "report", "result", "targets"},
    "__main__": {"cli"},
}
"""Part of the package -> the earlier parts that it may use besides itself and the basics."""


def part(module: Path) -> str:
    """The package or top-level module that a file belongs to."""
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(module: Path) -> set[str]:
    """Parts of this project that a file imports anywhere in it."""
    folder = module.relative_to(PACKAGE.parent).parent.parts
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            names = [(*base, alias.name) for alias in node.names]
        for name in names:
            if name[0] == PACKAGE.name:
                known = len(name) > 1 and ((PACKAGE / name[1]).is_dir() or (PACKAGE / f"{name[1]}.py").is_file())
                found.add(name[1] if known else "__init__")
    return found - {part(module)}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(module: Path) -> None:
    here = part(module)
    if here in BASICS:
        assert imported_parts(module) <= {"errors"}
    elif here != "__init__":
        assert imported_parts(module) <= STAGES[here] | BASICS


def test_no_part_uses_a_later_one() -> None:
    parts = list(STAGES)
    for number, (here, used) in enumerate(STAGES.items()):
        assert used <= {"__init__", *parts[:number]}, here


def test_few_modules_lie_at_the_top() -> None:
    assert len({path.stem for path in PACKAGE.glob("*.py")} - {"__main__"}) <= 8


def test_imports_are_seen() -> None:
    assert imported_parts(PACKAGE / "cli" / "complain.py") == {"errors", "report"}
    assert imported_parts(PACKAGE / "report" / "json.py") >= {"files", "result", "version"}


@pytest.mark.parametrize("module", ["tflite_cluster", "tflite_cluster.cli"])
def test_starts_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"numpy", "rich", "ai_edge_litert", "tensorflow", "tflite", "loky"} & set(loaded)


@pytest.mark.slow
def test_a_run_never_imports_tensorflow_where_litert_is() -> None:
    pytest.importorskip("ai_edge_litert")
    code = (
        "import sys, tflite_cluster; tflite_cluster.cluster(sys.argv[1], force=True); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    model = PACKAGE.parent / "tests" / "fixtures" / "conv_2d_int8.tflite"
    assert subprocess.run([sys.executable, "-c", code, str(model)], check=False).returncode == 0
