"""TensorFlow Lite Micro: weights as indices into tables of values, packed by tflite-micro's own compressor.

1. Plan a table for each weight that becomes smaller by it (`value_tables`).
2. Write the compressor's specification.
3. Call the compressor, and run both models in tflite-micro's interpreter.
4. Write the compressed model only if all outputs are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ...errors import InterpreterFailure
from ...files import write_bytes, write_text
from ...interpreter.process import InterpreterProcess, Limits
from ...model.analysis import Analysis
from ...model.groups import Groups
from ...model.read import Model, open_model
from ...model.select import used_as_weights
from ...model.weight import Weight
from ...packing.sizes import SizeMeasure
from ...search.encodings import Encode, Encoding, Place
from ...search.tables import TableCodes
from ..same import TARGET as SAME_TYPES
from .chip import HandedOff, LeftOut
from .tools import tflm_runtime
from .tools.packages import installed_version
from .tools.tflm_runtime import Runs
from .tools.value_tables import (
    MOST_VALUES,
    ValueTable,
    bits_by_values,
    most_distinct,
    packed_bytes,
    plan_table,
    specification,
)

_LIMITS: Final = Limits(timeout=600.0, memory=None)
_COMPRESS: Final = "python -m tflite_micro.tensorflow.lite.micro.compression.compress"


class Tflm:
    """Tables of 2 to 128 values. All indices of a tensor have the same number of bits, which a search chooses."""

    usual_values = 16
    most_values = MOST_VALUES
    why_no_more = "an index into a table has at most 7 bits"

    def obstacle(self, weight: Weight, model: Model, values: int) -> str | None:  # noqa: ARG002  (the protocol has it)
        """Why a weight of that many values gets no table."""
        planned = plan_table(weight, values)
        return planned.reason if isinstance(planned, LeftOut) else None

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:
        """As indices into tables where tflite-micro unpacks those."""
        same = SAME_TYPES.encode(analysis, weights)

        def as_indices(weight: Weight, rows: Groups) -> Encoding:
            bits = bits_by_values(weight)
            if not bits:
                return same(weight, rows)
            return TableCodes(Place(weight, rows), bits, 8 * weight.span.size / weight.count)

        return as_indices

    def measure(self, original: Path) -> SizeMeasure:
        """Bytes of the compressed file, by the tables that it gets: its compressor takes seconds for each candidate."""
        return SizeMeasure("file for tflite-micro (estimated)", original.stat().st_size, estimated_bytes)

    def files(self, clustered: Path) -> tuple[Path, ...]:
        """The specification, and the compressed model."""
        return clustered.with_suffix(".tflm.yaml"), clustered.with_suffix(".tflm.tflite")

    def run(self, original: Path, clustered: Path) -> HandedOff:
        """Write the specification, and where tflite-micro is installed the compressed model."""
        model = open_model(clustered)  # in which tables no longer look learned
        planned = [plan_table(weight, most_distinct(weight, model)) for weight in used_as_weights(model)[0]]
        tables = [table for table in planned if isinstance(table, ValueTable)]
        left_out = tuple(reason for reason in planned if isinstance(reason, LeftOut))
        if not tables:
            return HandedOff("tflm", "file", None, None, left_out=left_out, not_done="no weight would become smaller")
        yaml, destination = self.files(clustered)
        text = specification(tables)
        write_text(yaml, text)
        release = installed_version("tflite-micro")
        if release is None:
            command = f"{_COMPRESS} --input {clustered.name} --spec {yaml.name} --output {destination.name}"
            return HandedOff(
                "tflm",
                "file (estimated, because tflite-micro is not installed)",
                original.stat().st_size,
                estimated_bytes(clustered),
                files=(yaml,),
                left_out=left_out,
                not_done="tflite-micro is not installed: pip install 'tflite-cluster[tflm]', or run where it is "
                f"`{command}`",
            )
        try:
            compressed, runs = _compress(model, clustered, text)
        except InterpreterFailure as failure:
            return HandedOff("tflm", "file", None, None, files=(yaml,), left_out=left_out, not_done=failure.cause)
        if len(compressed) >= model.size:
            return HandedOff("tflm", "file", None, None, (yaml,), left_out, not_done="the file would become no smaller")
        write_bytes(destination, compressed)
        return HandedOff(
            "tflm",
            "file",
            original.stat().st_size,
            len(compressed),
            files=(yaml, destination),
            left_out=left_out,
            operators=_operators(open_model(compressed)),
            proof=_proof(release, runs),
        )


def estimated_bytes(clustered: Path) -> int:
    """About as many bytes as the compressed file will have; it loses what lies outside the model, such as labels."""
    model = open_model(clustered)
    saved = 0
    for weight in used_as_weights(model)[0]:
        values = most_distinct(weight, model)
        if isinstance(plan_table(weight, values), ValueTable):
            saved += weight.span.size - packed_bytes(weight, values)
    return model.size - saved


def _compress(model: Model, clustered: Path, text: str) -> tuple[bytes, Runs]:
    """The compressed model, once it gave the same outputs as the clustered one."""
    graph = model.subgraphs[0]
    with InterpreterProcess(_LIMITS) as process:
        compressed = process.call(tflm_runtime.compress, clustered, text)
        counts = len(graph.inputs), len(graph.outputs)
        runs = process.call(tflm_runtime.compare_runs, clustered, compressed, *counts, 0)
    if runs.equal < runs.samples:
        raise InterpreterFailure(
            f"the compressed model differs from the clustered one on {runs.samples - runs.equal} of {runs.samples} "
            "samples in tflite-micro"
        )
    return compressed, runs


def _proof(release: str, runs: Runs) -> str:
    words = f"tflite-micro {release} gives the same bytes for both on {runs.samples} random samples"
    return words if runs.distinct > 1 else f"{words}, but they never vary, which proves little"


def _operators(model: Model) -> tuple[str, ...]:
    return tuple(sorted({operator.name for graph in model.subgraphs for operator in graph.operators}))


CHIP = Tflm()
