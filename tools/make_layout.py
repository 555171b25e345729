"""Turn schema/tflite.fbs into tflite_cluster/model/layout.py.

python tools/make_layout.py           # write it
python tools/make_layout.py --check   # exit 1 if the committed file is not what this would write
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "schema" / "tflite.fbs"
LAYOUT = ROOT / "tflite_cluster" / "model" / "layout.py"

SCALARS = {"bool": 1, "byte": 1, "ubyte": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4}
SCALARS |= {"long": 8, "ulong": 8, "double": 8}

HEADER = '''\
"""Where each field of a .tflite table stands. Made from schema/tflite.fbs by tools/make_layout.py."""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """One field: `slot` in the vtable, `kind`, `size` of its item in bytes, and the table or union it leads to."""

    name: str
    slot: int
    kind: str
    size: int
    target: str


'''


def fields_of(body: str, unions: dict[str, dict[int, str]]) -> list[tuple[str, int, str, int, str]]:
    """(name, slot, kind, item size, target) of each field of a table's body; a union takes two slots."""
    fields: list[tuple[str, int, str, int, str]] = []
    slot = 0
    for name, written in re.findall(r"(\w+)\s*:\s*([\[\]\w]+)\s*;", body):
        item = written.strip("[]")
        vector = written.startswith("[")
        if item in unions:
            fields.append((name, slot + 1, "union", 4, item))
            slot += 2
            continue
        if item in SCALARS:
            fields.append((name, slot, "vector" if vector else "scalar", SCALARS[item], ""))
        elif item == "string":
            fields.append((name, slot, "string", 1, ""))
        else:
            fields.append((name, slot, "tables" if vector else "table", 4, item))
        slot += 1
    return fields


def render(schema: str) -> str:
    """The text of layout.py for this schema."""
    schema = re.sub(r"//[^\n]*", "", schema)
    unions = {
        name: {int(code): table for table, code in re.findall(r"(\w+)\s*=\s*(\d+)", body)}
        for name, body in re.findall(r"union\s+(\w+)\s*\{(.*?)\}", schema, re.S)
    }
    lines = [HEADER + "TABLES: Final[dict[str, tuple[Field, ...]]] = {"]
    for name, body in re.findall(r"table\s+(\w+)\s*\{(.*?)\}", schema, re.S):
        lines.append(f'    "{name}": (')
        for field, slot, kind, size, target in fields_of(body, unions):
            lines.append(f'        Field("{field}", {slot}, "{kind}", {size}, "{target}"),')
        lines.append("    ),")
    lines += ["}", "", "UNIONS: Final[dict[str, dict[int, str]]] = {"]
    for name, members in unions.items():
        lines.append(f'    "{name}": {{')
        lines += [f'        {code}: "{table}",' for code, table in members.items()]
        lines.append("    },")
    root = re.search(r"root_type\s+(\w+)", schema)
    identifier = re.search(r'file_identifier\s+"(\w{4})"', schema)
    assert root is not None
    assert identifier is not None
    lines += ["}", "", f'ROOT: Final = "{root[1]}"', f'IDENTIFIER: Final = b"{identifier[1]}"', ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    text = render(SCHEMA.read_text(encoding="utf-8"))
    if parser.parse_args().check:
        current = LAYOUT.read_text(encoding="utf-8") if LAYOUT.exists() else ""
        if current != text:
            print(f"{LAYOUT.relative_to(ROOT)} is not up to date: run python tools/make_layout.py", file=sys.stderr)
            return 1
        return 0
    LAYOUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
