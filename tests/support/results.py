"""Finished runs as the reports get them, made up so that no figure depends on the machine."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from tflite_cluster.config import Config
from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.fidelity.gates import Gates
from tflite_cluster.fidelity.judge import judge
from tflite_cluster.fidelity.verdict import Fidelity, NoiseFloor, OutputFidelity
from tflite_cluster.result import (
    Benchmark,
    CodesWritten,
    Estimate,
    Result,
    SizePair,
    Sizes,
    SpanWritten,
    Strategy,
    TensorResult,
)
from tflite_cluster.search.points import Point, Search
from tflite_cluster.search.quality import Quality

SCORES = OutputFidelity(
    signature="serving_default",
    name="scores",
    samples=360,
    real=True,
    sqnr_db=27.125,
    raw_sqnr_db=28.5,
    cosine=0.99903,
    max_abs_error=0.5141,
    rmse=0.0123,
    kl_divergence=0.0032,
    agreement=359 / 360,
    classified=360,
    class_changes=320,
)
CHECKED = Fidelity(
    "checked",
    basis="360 labelled samples from digits.samples.npz",
    outputs=(SCORES,),
    accuracy=Accuracy("scores", 360, right_before=356, right_after=355, lost=2, gained=1, chance=0.1),
    noise_floor=NoiseFloor(8, (replace(SCORES, samples=8, classified=8, sqnr_db=107.4),)),
)
TWO_SIGNATURES = Fidelity(
    "checked",
    basis="32 samples from x.npz for encode; 100 synthetic samples for decode",
    synthetic=True,
    outputs=(
        replace(SCORES, signature="encode", name="output_0", samples=32, kl_divergence=None, agreement=None),
        replace(SCORES, signature="decode", name="output_0", samples=32, classified=32, agreement=28 / 32),
    ),
    noise_floor=NoiseFloor(0, (), "under other kernels the original cannot be run: it crashed"),
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
    TensorResult("offsets", "", "FLOAT32", (1024,), 4096, "added, not a weight operand", role="constant"),
    TensorResult("factors", "", "FLOAT32", (2048,), 8192, "added, not a weight operand", role="constant"),
    TensorResult("buffer 9", "", "bytes", (2200,), 2200, "metadata of the model", role="constant"),
)  # fmt: skip
BIASES = tuple(
    TensorResult(f"bias {number}", "bias", "FLOAT32", (64,), 256, span=SpanWritten(at, at + 256), role="bias")
    for number, at in enumerate((127_000, 128_000))
)
POINTS = tuple(
    Point(multiplier, False, bits, 14.2, Quality(0.01 * multiplier, 0.3 * multiplier, 0.99, 26.0, hits), {1: 4.25})
    for multiplier, bits, hits in (
        (0.5, 3.1, Accuracy("", 360, 356, 356, 0, 0)),
        (1.25, 2.2, Accuracy("", 360, 356, 355, 1, 0)),
        (0.79057, 2.6, None),
    )
)
SEARCH = Search(
    points=POINTS,
    chosen=POINTS[2],
    floor=Quality(1e-11, 0.0, 1.0, math.inf),
    observed=1,
    sensitivities={0: 0.125, 1: 0.5},
    prices={0: 1e-4, 1: 2e-5},
)
SIZES = Sizes(
    SizePair(182_644, 182_644),
    {"gzip6": SizePair(165_942, 46_723), "zip9": SizePair(166_026, 46_060), "xz": SizePair(164_108, 38_160)},
)


def sized(**pairs: SizePair) -> Sizes:
    """SIZES with other pairs for the file or for some coders."""
    return replace(SIZES, file=pairs.pop("file", SIZES.file), packed={**SIZES.packed, **pairs})


DONE = Result(
    source="digits.tflite",
    destination=Path("digits-clustered.tflite"),
    config=Config(clusters=32),
    tensors=CLUSTERED,
    strategy=Strategy("calibrated on 360 labelled samples from digits.samples.npz"),
    sizes=SIZES,
    fidelity=CHECKED,
)


def with_fidelity(fidelity: Fidelity, **gates: float) -> Result:
    return replace(DONE, config=Config(clusters=32, **gates), fidelity=judge(fidelity, Gates(**gates)))  # type: ignore[arg-type]


STORED = (
    replace(
        CLUSTERED[0], bits_after=4.71, values_after=41, stored=CodesWritten("INT8", 1),
    ),
    TensorResult(
        "model/depthwise/kernel", "DEPTHWISE_CONV_2D", "FLOAT32", (1, 3, 3, 64), 2304, None,
        576, 120, 33.1, 29.9, 7.4, SpanWritten(120_000, 122_304), stored=CodesWritten("INT8", 64),
    ),
    TensorResult(
        "model/matmul", "BATCH_MATMUL", "FLOAT32", (64, 192), 49_152, None,
        12_288, 60, 25.5, 29.8, 8.2, SpanWritten(122_304, 171_456),
        keeps_type="BATCH_MATMUL would transpose it in every run, and be slower",
    ),
)  # fmt: skip
BENCHMARK = Benchmark(0.0123, 0.01184, 0.96, 10_240_000, 10_260_000, 9, 2)


RESULTS = {
    "stored": replace(
        DONE,
        config=Config(store="int8", benchmark=True),
        tensors=STORED,
        sizes=sized(file=SizePair(182_644, 90_100), zip9=SizePair(166_026, 23_100)),
        benchmark=BENCHMARK,
    ),
    "would_be_stored": replace(
        DONE,
        tensors=(replace(CLUSTERED[0], bits_as_codes=2.6), *CLUSTERED[1:]),
        if_stored=Estimate(99_700, 30_784, 166_026 / 30_784),
        benchmark=replace(BENCHMARK, threads=1, memory_before=40_000, memory_after=None),
    ),
    "checked": DONE,
    "searched": replace(
        DONE,
        config=Config(),
        tensors=CLUSTERED + BIASES,
        strategy=Strategy("searched on 360 labelled samples from digits.samples.npz", SEARCH),
    ),
    "search_failed": replace(
        with_fidelity(CHECKED, min_sqnr=200),
        config=Config(min_sqnr=200),
        tensors=CLUSTERED + BIASES[:1],
        strategy=Strategy("searched on 360 labelled samples from digits.samples.npz", replace(SEARCH, chosen=None)),
    ),
    "two_signatures": with_fidelity(TWO_SIGNATURES, min_agreement=90),
    "labels_misfit": with_fidelity(
        replace(CHECKED, accuracy=None, note="labels run to 10, but scores has 10 classes, 0 to 9: no accuracy"),
        max_drop=1,
    ),
    "left_alone": replace(
        DONE,
        tensors=CLUSTERED[:1] + LEFT_ALONE,
        sizes=replace(SIZES, packed={name: SIZES.packed[name] for name in ("gzip6", "zip9")}),
    ),
    "nothing_to_do": replace(DONE, tensors=LEFT_ALONE[:1], sizes=None),
    "check_skipped": replace(
        DONE, config=Config(clusters=32, run=False, measure=False), sizes=None, fidelity=Fidelity("skipped")
    ),
    "not_checked": with_fidelity(
        Fidelity("not checked", "the original model cannot be run: it needs the operator NobodyKnowsThis"),
        min_agreement=90,
    ),
    "gates_hold": with_fidelity(CHECKED, min_agreement=99, min_sqnr=20, max_drop=0.5),
    "gate_fails": with_fidelity(CHECKED, min_agreement=99.9, min_sqnr=20),
    "silent": with_fidelity(
        Fidelity(
            "checked",
            basis="300 synthetic samples",
            synthetic=True,
            outputs=(
                replace(
                    SCORES, varies=False, sqnr_db=None, raw_sqnr_db=None, cosine=None, agreement=1.0, class_changes=0
                ),
            ),
        ),
        min_agreement=99,
        min_sqnr=30,
    ),
    "at_chance": with_fidelity(
        replace(CHECKED, accuracy=Accuracy("scores", 360, 36, 36, 0, 0, 0.1, "the labels belong to other classes")),
        max_drop=1,
    ),
    "confident": replace(
        DONE,
        config=Config(clusters=32, max_drop=1, confidence=95),
        fidelity=judge(CHECKED, Gates(max_drop=1, confidence=95)),
    ),
    "slices": replace(
        DONE,
        fidelity=replace(
            CHECKED,
            accuracy=None,
            outputs=(
                replace(SCORES, agreement=None, sqnr_db=12.5, raw_sqnr_db=48.2, slice="indices 4 to 23 of axis 2"),
            ),
            noise_floor=NoiseFloor(8, (replace(SCORES, samples=8, sqnr_db=14.6),)),
        ),
    ),
    "broken": with_fidelity(Fidelity("broken", "the clustered model cannot be run: it crashed")),
    "identical": with_fidelity(
        Fidelity(
            "checked",
            basis="32 synthetic samples",
            synthetic=True,
            accuracy=Accuracy("scores", 20_000, 15_000, 15_000, 0, 0),
            outputs=(
                replace(
                    SCORES,
                    samples=20_000,
                    classified=20_000,
                    sqnr_db=math.inf,
                    cosine=1.0,
                    max_abs_error=0.0,
                    rmse=0.0,
                    kl_divergence=0.0,
                ),
                OutputFidelity("serving_default", "ids", 32, real=False, agreement=1.0),
                replace(SCORES, name="lost", sqnr_db=-math.inf, cosine=None, max_abs_error=None, note="it became NaN"),
            ),
            noise_floor=NoiseFloor(8, (replace(SCORES, sqnr_db=math.inf),)),
        ),
    ),
}
"""Every kind of report; the names are those of the golden files."""

WRITTEN = {"checked", "left_alone", "check_skipped", "gates_hold", "identical", "searched"}
