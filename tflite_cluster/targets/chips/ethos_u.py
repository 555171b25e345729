"""Arm Ethos-U: few values in one codebook per tensor, for the weight encoder of Arm's compiler Vela."""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from ...clustering.palette import code_bits
from ...errors import ConfigError, InterpreterFailure
from ...files import temporary_folder
from ...model.analysis import Analysis
from ...model.groups import Groups
from ...model.read import Model, open_model
from ...model.select import used_as_weights
from ...model.weight import Weight
from ...packing.sizes import SizeMeasure
from ...search.encodings import Encode, Encoding, Place, SameCodes
from ...search.palette import PaletteCodes
from .chip import HandedOff
from .tools.packages import installed_version

_SECONDS: Final = 600.0
_COLUMN: Final = "total_npu_encoded_weights"
_WHAT: Final = "Vela encoding of the weights"
_NOTHING: Final = "Vela leaves all weights of this model to the CPU"


class EthosU:
    """Vela encodes 16 values at 3.97 bits each, 32 at 4.95, and 64 at 7.0; unclustered weights of ResNet8 take 7.7.

    Frequent values take fewer bits, so a search chooses the values of each weight by the bits that Vela spends on them.
    """

    usual_values = 16
    most_values = 32
    why_no_more = "Vela encodes 64 values at 7 bits, and unclustered weights at little more"

    def obstacle(self, weight: Weight, model: Model, values: int) -> str | None:  # noqa: ARG002  (the protocol has it)
        """The NPU runs operators of int8 weights with int8 or int16 activations."""
        if weight.tensor.type != "INT8":
            return f"its weights are {weight.tensor.type}, and Ethos-U needs an int8 model"
        for operator in (user.operator for user in weight.users):
            tensors = model.subgraphs[operator.subgraph].tensors
            kinds = {tensors[output].type for output in operator.outputs}
            if not kinds <= {"INT8", "INT16"}:
                return f"{operator.name} gives {', '.join(sorted(kinds))}, and Ethos-U needs an int8 model"
        return None

    def encode(self, analysis: Analysis, weights: Iterable[Weight]) -> Encode:  # noqa: ARG002  (the protocol has them)
        """As palette indices where the weight is int8."""

        def as_indices(weight: Weight, rows: Groups) -> Encoding:
            place = Place(weight, rows)
            if weight.tensor.type != "INT8":
                return SameCodes(place)
            return PaletteCodes(place, analysis.growing_scales(weight))

        return as_indices

    def measure(self, original: Path) -> SizeMeasure:
        """Bytes of weights as Vela encodes them, or an estimate where Vela does not run."""
        try:
            measure = _measure_by_vela(original)
        except InterpreterFailure as failure:
            return _estimate(original, failure)
        if not measure.before:
            raise ConfigError("leave out <max_size>: " + _NOTHING)
        return measure

    def files(self, clustered: Path) -> tuple[Path, ...]:  # noqa: ARG002  (the protocol has it)
        """Vela's output is made of the clustered model with the user's own settings."""
        return ()

    def run(self, original: Path, clustered: Path) -> HandedOff:
        """Bytes of weights as Vela encodes them, of both models, or estimates where Vela does not run."""
        try:
            measure = _measure_by_vela(original)
            after = measure.size(clustered)
        except InterpreterFailure as failure:
            estimate = _estimate(original, failure)
            after = estimate.size(clustered)
            return HandedOff("ethos-u", estimate.what, estimate.before, after, not_done=failure.cause)
        if not measure.before:
            return HandedOff("ethos-u", measure.what, None, None, not_done=_NOTHING)
        return HandedOff("ethos-u", measure.what, measure.before, after)


def _measure_by_vela(original: Path) -> SizeMeasure:
    """Raises InterpreterFailure if Vela is not installed, or fails."""
    release = installed_version("ethos-u-vela")
    if release is None:
        raise InterpreterFailure("Vela is not installed: pip install 'tflite-cluster[ethos-u]'")
    what = f"{_WHAT} ({release}, ethos-u55-256)"
    return SizeMeasure(what, encoded_weight_bytes(original), encoded_weight_bytes)


def _estimate(original: Path, failure: InterpreterFailure) -> SizeMeasure:
    """failure: why Vela does not count."""
    what = f"{_WHAT} (estimated, because {failure.cause.partition(':')[0]})"
    return SizeMeasure(what, estimated_weight_bytes(original), estimated_weight_bytes)


def estimated_weight_bytes(model: Path) -> int:
    """About as many bytes as Vela encodes a model's weights in, by `clustering.palette`."""
    opened = open_model(model)
    weights = (weight for weight in used_as_weights(opened)[0] if weight.count)
    used = (each for each in weights if CHIP.obstacle(each, opened, CHIP.usual_values) is None)
    return sum(math.ceil(each.count * code_bits(each.codes(opened).astype(np.intp) - each.zero) / 8) for each in used)


def encoded_weight_bytes(model: Path) -> int:
    """Bytes of a model's weights in Vela's encoding, by its summary; raises InterpreterFailure if it fails."""
    with temporary_folder() as folder:
        copy = Path(shutil.copyfile(model, folder / "model.tflite"))
        command = [sys.executable, "-m", "ethosu.vela", str(copy), "--output-dir", str(folder)]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise InterpreterFailure(f"Vela gives no answer within {_SECONDS:g} s") from None
        summaries = list(folder.glob("*_summary_*.csv"))
        if done.returncode or not summaries:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise InterpreterFailure(f"Vela fails: {words[-1] if words else f'exit code {done.returncode}'}")
        return summary_bytes(summaries[0])


def summary_bytes(summary: Path) -> int:
    """The bytes that Vela's summary gives; raises InterpreterFailure if it gives none, as other releases may not."""
    with summary.open(newline="", encoding="utf-8", errors="replace") as file:
        first = next(csv.DictReader(file), {})
    try:
        return int(float(first[_COLUMN]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InterpreterFailure(
            f"Vela's summary gives no number of '{_COLUMN}': pip install 'tflite-cluster[ethos-u]' installs a release "
            "that does"
        ) from None


CHIP = EthosU()
