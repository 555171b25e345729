"""What may import what: arrows between the packages point one way, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tflite_cluster"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"result"},
    "units": set(),
    "files": {"errors"},
    "config": {"errors", "fidelity", "rules", "units"},
    "rules": set(),
    "recipe": {"config", "errors", "files", "result", "rules"},
    "model": {"errors", "files"},
    "clustering": set(),
    "packing": set(),
    "interpreter": {"errors"},
    "samples": {"errors", "model", "interpreter"},
    "calibration": {"errors", "model", "interpreter", "samples"},
    "fidelity": {"errors", "interpreter"},
    "scoring": {"errors", "fidelity", "interpreter", "samples"},
    "session": {"calibration", "config", "errors", "interpreter", "model", "samples", "scoring"},
    "search": {
        "calibration",
        "clustering",
        "config",
        "errors",
        "fidelity",
        "interpreter",
        "model",
        "packing",
        "samples",
    },
    "result": {"config", "fidelity", "search"},
    "inspection": {"files", "model", "packing"},
    "limits": {"errors", "inspection", "units"},
    "jobs": {"config", "clustering", "model", "packing", "result"},
    "verification": {"config", "errors", "fidelity", "jobs", "model", "packing", "session"},
    "worth": {"config", "errors", "result", "search"},
    "difference": {"errors", "jobs", "model"},
    "histograms": {"model"},
    "proof": {"errors", "jobs", "model", "result"},
    "sweeping": {"config", "errors", "files", "jobs", "model", "packing", "search", "session", "strategy"},
    "comparison": {
        "calibration",
        "config",
        "errors",
        "files",
        "fidelity",
        "interpreter",
        "jobs",
        "model",
        "samples",
        "session",
        "verification",
    },
    "report": {
        "comparison",
        "sweeping",
        "__init__",
        "config",
        "difference",
        "errors",
        "fidelity",
        "files",
        "histograms",
        "inspection",
        "jobs",
        "result",
        "search",
        "worth",
    },
    "strategy": {"config", "errors", "jobs", "model", "packing", "result", "rules", "scoring", "search", "session"},
    "benchmark": {"errors", "interpreter", "jobs", "result", "session"},
    "api": {
        "benchmark",
        "config",
        "errors",
        "fidelity",
        "files",
        "jobs",
        "model",
        "packing",
        "proof",
        "result",
        "session",
        "strategy",
        "verification",
        "worth",
    },
    "commands": {
        "comparison",
        "sweeping",
        "__init__",
        "api",
        "config",
        "difference",
        "errors",
        "files",
        "histograms",
        "inspection",
        "limits",
        "recipe",
        "report",
        "result",
        "units",
    },
    "completion": set(),
    "cli": {"completion", "errors", "report"},
}
"""Part of the package -> the parts that it may use besides itself."""


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
    if part(module) != "__init__":
        assert imported_parts(module) <= MAY_IMPORT[part(module)]


def test_imports_are_seen() -> None:
    assert imported_parts(PACKAGE / "cli.py") == MAY_IMPORT["cli"]
    assert imported_parts(PACKAGE / "report" / "json.py") >= {"__init__", "files", "result"}


@pytest.mark.parametrize("module", ["tflite_cluster", "tflite_cluster.cli"])
def test_starts_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"numpy", "rich", "ai_edge_litert", "tensorflow", "tflite", "loky"} & set(loaded)


def test_a_run_never_imports_tensorflow_where_litert_is() -> None:
    pytest.importorskip("ai_edge_litert")
    code = (
        "import sys, tflite_cluster; tflite_cluster.cluster(sys.argv[1], force=True); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    model = PACKAGE.parent / "tests" / "fixtures" / "conv_2d_int8.tflite"
    assert subprocess.run([sys.executable, "-c", code, str(model)], check=False).returncode == 0
