"""Make a list of models from a folder whose `measure.py` knows how each model's samples are prepared.

python tools/benchmarks/zoo.py FOLDER OUT [--limit 500]

FOLDER has models in `models/`, and a `measure.py` with `task(path)`, which gives the name of a model's data set, the
function that prepares samples, and the output of class 0; with `quantised(x, input)` and `DATA`, the folder of
`*_calib.npz` and `*_eval.npz`. OUT gets the prepared samples and `models.toml`, for `tools/benchmark.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np

PUBLISHED = {
    "mobilenet_v1_1.0_224_fp32": "MobileNetV1",
    "mobilenet_v2_1.0_224_fp32": "MobileNetV2",
    "ds_cnn_l_fp32": "DS-CNN-L",
}
"""Models whose like was published with retraining; see published.toml."""

ABLATIONS = {"resnet8_cifar10_fp32": "5x", "ds_cnn_l_fp32": "7x", "ds_cnn_l_int8_peraxis": "2x"}
"""Models on which parts of the method are left out, and the sizes at which they are compared."""

OTHER_TOOLS = ("original/*", "k-means*", "TFMOT's start/*", "palettes*", "litert-quantizer/*")
DEFAULTS = ("this tool/in place, with data", "this tool/in place, without data", "this tool/stored as int8, with*")
"""This tool's methods on models that are in neither of the tables above and below."""

PARTS = ("parts of this tool/everything", "parts of this tool/without: scales rewritten")
"""Of the integer model among those on which parts are left out."""

SIZES = {
    "resnet8_cifar10_fp32": '{ same = ["6x", "7x"], int8 = ["8x", "10x"] }',
    "ds_cnn_l_fp32": '{ same = ["8x", "9x"], int8 = ["11x", "13x"] }',
}
"""Sizes further along the curves of some models."""

TITLES = {
    "mobilenet_v1_1.0_224_fp32": "MobileNetV1",
    "mobilenet_v2_1.0_224_fp32": "MobileNetV2",
    "mobilenet_v2_1.0_224_int8": "MobileNetV2, int8",
    "mobilenet_v1_0.25_128_uint8": "MobileNetV1 0.25, uint8",
    "resnet8_cifar10_fp32": "ResNet8",
    "resnet8_cifar10_int8": "ResNet8, int8",
    "ds_cnn_l_fp32": "DS-CNN-L",
    "ds_cnn_l_fp16": "DS-CNN-L, float16",
    "ds_cnn_l_int8_peraxis": "DS-CNN-L, int8",
    "ds_cnn_l_int16act": "DS-CNN-L, int16 activations",
    "ds_cnn_l_int4_dynrange": "DS-CNN-L, int4",
    "ds_cnn_s_fp32": "DS-CNN-S",
    "kws_dscnn_int8": "DS-CNN (MLPerf), int8",
}
"""File -> what tables call it, in their order."""


def load(folder: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("measure", folder / "measure.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def prepare(measure: ModuleType, model: Path, out: Path, limit: int | None) -> str:
    """Write the samples of one model; returns its entry in the list."""
    data, preprocess, first_class = measure.task(model)
    given = measure.interpreter(model).get_input_details()[0]
    for kind, most in (("calib", None), ("eval", limit)):
        with np.load(measure.DATA / f"{data}_{kind}.npz") as samples:
            x = measure.quantised(preprocess(samples["x"][:most]), given)
            np.savez(out / f"{model.stem}_{kind}.npz", x=x, y=samples["y"][:most])
    lines = [
        "[[model]]",
        f'path = "{model.resolve()}"',
        f'data = "{model.stem}_calib.npz"',
        f'labelled = "{model.stem}_eval.npz"',
        f'name = "{TITLES.get(model.stem, model.stem)}"',
        f"first_class = {first_class}",
    ]
    if model.stem in PUBLISHED:
        lines.append(f'published = "{PUBLISHED[model.stem]}"')
    if model.stem not in PUBLISHED and model.stem not in SIZES:
        lines.append(f"methods = {json.dumps([*OTHER_TOOLS, *DEFAULTS, *PARTS])}")
    if model.stem in SIZES:
        lines.append(f"sizes = {SIZES[model.stem]}")
    if model.stem in ABLATIONS:
        lines.append(f'ablations = "{ABLATIONS[model.stem]}"')
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, help="most samples to judge by")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    measure = load(options.folder)
    order = list(TITLES)
    models = sorted((options.folder / "models").glob("*.tflite"), key=lambda path: (*order, path.stem).index(path.stem))
    entries = []
    for model in models:
        try:
            entries.append(prepare(measure, model, options.out, options.limit))
        except SystemExit as why:  # no labelled data
            print(f"left out: {why}")
    (options.out / "models.toml").write_text("\n".join(entries), encoding="utf-8")
    print(f"{options.out / 'models.toml'}: {len(entries)} models")


if __name__ == "__main__":
    main()
