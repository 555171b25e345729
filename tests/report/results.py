"""Finished runs as the reports get them, made up so that no figure depends on the machine."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from tflite_cluster.config import Config
from tflite_cluster.fidelity.verdict import Accuracy, Fidelity, NoiseFloor, OutputFidelity, judge
from tflite_cluster.result import Result, SizePair, Sizes, SpanWritten, TensorResult

SCORES = OutputFidelity(
    signature="serving_default",
    name="scores",
    samples=360,
    real=True,
    sqnr_db=27.125,
    cosine=0.99903,
    max_abs_error=0.5141,
    rmse=0.0123,
    kl_divergence=0.0032,
    agreement=0.9972,
)
CHECKED = Fidelity(
    "checked",
    basis="360 labelled samples from digits.samples.npz",
    outputs=(SCORES,),
    accuracy=Accuracy("scores", 360, 356 / 360, 355 / 360),
    noise_floor=NoiseFloor(8, (replace(SCORES, samples=8, sqnr_db=107.4),)),
)
CLUSTERED = (
    TensorResult(
        "model/conv/kernel", "CONV_2D", "FLOAT32", (48, 3, 3, 64), 110_592, None,
        27_648, 32, 25.98, 29.71, 7.02, SpanWritten(4096, 114_688),
    ),
    TensorResult(
        "model/dense/MatMul", "FULLY_CONNECTED, GATHER", "INT8", (64, 192), 12_288, None,
        255, 32, 31.1, 7.73, 4.81, SpanWritten(114_704, 126_992),
    ),
)  # fmt: skip
LEFT_ALONE = (
    TensorResult(
        "model/small/kernel", "CONV_2D", "FLOAT32", (8, 3, 3, 4), 1152,
        "it has no more than 32 distinct values", 12, 12, math.inf,
    ),
    TensorResult("offsets", "", "FLOAT32", (1024,), 4096, "added, not a weight operand"),
    TensorResult("factors", "", "FLOAT32", (2048,), 8192, "added, not a weight operand"),
    TensorResult("buffer 9", "", "bytes", (2200,), 2200, "metadata of the model"),
)  # fmt: skip
SIZES = Sizes(
    SizePair(182_644, 182_644), SizePair(165_942, 46_723), SizePair(166_026, 46_060), SizePair(164_108, 38_160)
)

DONE = Result(
    source="digits.tflite",
    destination=Path("digits-clustered.tflite"),
    config=Config(),
    tensors=CLUSTERED,
    sizes=SIZES,
    fidelity=CHECKED,
)


def with_fidelity(fidelity: Fidelity, **gates: float) -> Result:
    return replace(DONE, config=Config(**gates), fidelity=judge(fidelity, **gates))  # type: ignore[arg-type]


RESULTS = {
    "checked": DONE,
    "left_alone": replace(DONE, tensors=CLUSTERED[:1] + LEFT_ALONE, sizes=replace(SIZES, xz=None)),
    "nothing_to_do": replace(DONE, tensors=LEFT_ALONE[:1], sizes=None),
    "check_skipped": replace(DONE, config=Config(check=False, measure=False), sizes=None, fidelity=Fidelity("skipped")),
    "not_checked": with_fidelity(
        Fidelity("not checked", "the original model cannot be run: it needs the operator NobodyKnowsThis"),
        min_agreement=90,
    ),
    "gates_hold": with_fidelity(CHECKED, min_agreement=99, min_sqnr=20, max_drop=0.5),
    "gate_fails": with_fidelity(CHECKED, min_agreement=99.9, min_sqnr=20),
    "broken": with_fidelity(Fidelity("broken", "the clustered model cannot be run: it crashed")),
    "identical": with_fidelity(
        Fidelity(
            "checked",
            basis="32 synthetic samples",
            outputs=(
                replace(SCORES, sqnr_db=math.inf, cosine=1.0, max_abs_error=0.0, rmse=0.0, kl_divergence=0.0),
                OutputFidelity(None, "ids", 32, real=False, agreement=1.0),
                replace(SCORES, name="lost", sqnr_db=-math.inf, cosine=None, max_abs_error=None, note="it became NaN"),
            ),
            noise_floor=NoiseFloor(8, (replace(SCORES, sqnr_db=math.inf),)),
        ),
    ),
}
"""Every kind of report; the names are those of the golden files."""

WRITTEN = {"checked", "left_alone", "check_skipped", "gates_hold", "identical"}
