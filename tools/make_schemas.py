"""Write what the schemas say of the gates, from their records.

python tools/make_schemas.py           # write it
python tools/make_schemas.py --check   # fail if they say something else
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tflite_cluster.config import Config  # noqa: E402
from tflite_cluster.fidelity.gate import Gate  # noqa: E402
from tflite_cluster.fidelity.gates import GATES  # noqa: E402

FOLDER = ROOT / "schema"
WIDTH = 120


def entry(gate: Gate, kind: str | list[str], before: str = "") -> dict[str, Any]:
    """What a schema says of the setting of a gate."""
    bounds = {"minimum": gate.least, "maximum": gate.most}
    words = before + (gate.meaning[0].lower() if before else gate.meaning[0]) + gate.meaning[1:]
    return {"description": words, "type": kind} | {key: value for key, value in bounds.items() if value is not None}


def properties(entries: dict[str, dict[str, Any]], indent: int) -> str:
    """Entries as lines, each ending with a comma."""
    lines = []
    for name, content in entries.items():
        inner = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        lines.append(f"{json.dumps(name)}: {{\n{inner}\n}},\n")
    return textwrap.indent("".join(lines), " " * indent)


def between(text: str, first: str, last: str, new: str) -> str:
    """The text with `new` between the end of one property and the beginning of another."""
    pattern = rf'(^ +"{first}": {{\n(?:.*\n)*?^ +}},\n)(?:.*\n)*?(^ +"{last}": {{)'
    text, count = re.subn(pattern, lambda found: found[1] + new + found[2], text, count=1, flags=re.MULTILINE)
    assert count == 1
    return text


def with_names(text: str) -> str:
    """The text with the names of all gates that a report may hold."""
    names = json.dumps([gate.name for gate in GATES] + ["max-size", "runs"])
    text, count = re.subn(r'\["min-agreement", [^]]*"runs"\]', lambda _: names, text)
    assert count == 1
    return text


def recipe(text: str) -> str:
    return between(text, "coder", "confidence", properties({gate.name: entry(gate, "number") for gate in GATES}, 4))


def report(text: str) -> str:
    entries = {gate.setting: entry(gate, ["number", "null"], "Gate: ") for gate in GATES}
    text = between(with_names(text), "coder", "confidence", properties(entries, 8))
    names = ", ".join(json.dumps(field.name) for field in fields(Config))
    required = textwrap.fill(names, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    text, count = re.subn(r' +"clusters", "granularity",[^]]*\n(?= +\])', lambda _: required + "\n", text)
    assert count == 1
    return text


FILES = {"recipe": recipe, "report": report, "comparison": with_names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    differ = False
    for name, change in FILES.items():
        path = FOLDER / f"{name}.schema.json"
        before = path.read_text(encoding="utf-8")
        after = change(before)
        if after != before and check:
            differ = True
            print(f"{path.relative_to(ROOT)} does not say what the gates are: run tools/make_schemas.py")
        elif after != before:
            path.write_text(after, encoding="utf-8")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
