"""Write docs/operators.md: what is clustered, from clustering every fixture and running it in the interpreter.

python tools/make_operators.py           # write it
python tools/make_operators.py --check   # fail if it says something else
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.fixture_models import MANIFEST, MODELS  # noqa: E402

from tflite_cluster import cluster  # noqa: E402
from tflite_cluster.model.analysis import analyse  # noqa: E402
from tflite_cluster.model.operators import BUILTIN  # noqa: E402
from tflite_cluster.model.read import open_model  # noqa: E402
from tflite_cluster.model.weight import Weight  # noqa: E402

PAGE = ROOT / "docs" / "operators.md"
HEAD = """# Operators

Made by `python tools/make_operators.py`: each fixture of the tests is clustered to 24 values, and then run in the
interpreter beside its original.

Errors are passed on where the layer's input can be observed. The weights of recurrent layers multiply the input and the
output of the step before. Nothing is observed for projections of an LSTM, weights over time of SVDF, recurrent weights
of an LSTM or RNN that takes a single step in a run, and inside the bodies of `WHILE` and `IF`, as in a GRU of Keras.

They are passed on between the outputs of a `CONV_2D` or `FULLY_CONNECTED` layer where gradients can be brought back to
it from the outputs of the model: where all that comes between is one of
{way_back}.

| operator | weights | scales | clustered | interpreter | fixture |
|---|---|---|---|---|---|
"""


def scales(weight: Weight) -> str:
    """Where the scales of a weight's codes stand."""
    if weight.storage.is_float:
        return "none"
    quantization = weight.tensor.quantization
    if quantization is not None and quantization.blockwise:
        return "per block"
    return "per tensor" if len(weight.scale) == 1 else "per channel"


def row(path: Path) -> str:
    weights = analyse(open_model(path)).weights
    result = cluster(path, clusters=24, measure=False, force=True)
    clustered = sum(tensor.clustered for tensor in result.tensors)
    total = sum(tensor.role == "weight" for tensor in result.tensors)
    types = ", ".join(sorted({weight.storage.type.lower() for weight in weights})) or MANIFEST[path.name]["dtype"]
    sparse = ", sparse" if any(weight.tensor.is_sparse for weight in weights) else ""
    forms = ", ".join(sorted({scales(weight) for weight in weights})) or "-"
    ran = {"checked": "runs", "not checked": "cannot run it"}[result.fidelity.status]
    cells = (MANIFEST[path.name]["operator"], types + sparse, forms, f"{clustered} of {total}", ran, path.stem)
    return f"| {' | '.join(cells)} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    names = ", ".join(f"`{name}`" for name, record in sorted(BUILTIN.items()) if record.gradient is not None)
    head = HEAD.format(way_back=textwrap.fill(names, 119, break_on_hyphens=False))
    page = head + "".join(sorted(map(row, MODELS)))
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif page != PAGE.read_text(encoding="utf-8"):
        print(f"{PAGE} is out of date: run python tools/make_operators.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
