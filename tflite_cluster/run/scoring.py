"""A score of the user's own, mAP or a word error rate for instance, of the original and of what is made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, InterpreterFailure, TfliteClusterError
from ..fidelity.verdict import Score
from ..interpreter import worker
from ..interpreter.interface import ModelInterface, Signature
from ..interpreter.process import InterpreterProcess
from ..interpreter.runtime import Kernels
from ..samples.functions import find_function
from ..samples.samples import fit_samples

Metric = Callable[["ScoredModel"], float]


@dataclass(frozen=True)
class ScoredModel:
    """What a metric is called with: a model that can be run, and the file it is in."""

    path: Path
    _process: InterpreterProcess = field(repr=False)
    _interface: ModelInterface = field(repr=False)
    _threads: int = field(repr=False)
    _kernels: Kernels = field(default=Kernels.DEFAULT, repr=False)

    def run(self, inputs: Mapping[str, Any], signature: str | None = None) -> dict[str, npt.NDArray[Any]]:
        """Run one sample, from the model's initial state.

        inputs: an array for each input by name, of the input's shape, with or without the leading 1; real values for a
        quantised input are quantised. signature: which, if there are several; by default the first. Gives an array for
        each output by name, real numbers for quantised outputs. Raises DataError for inputs that do not fit, and
        InterpreterFailure if the model cannot be run.
        """
        chosen = self._signature(signature)
        if set(inputs) != {spec.name for spec in chosen.inputs}:
            wanted = ", ".join(repr(spec.name) for spec in chosen.inputs)
            raise DataError(f"the metric gives the inputs {sorted(inputs)}, and the model takes {wanted}")
        where = "an input that the metric gives"
        batch = {
            spec.name: fit_samples(np.asarray(inputs[spec.name])[None], spec, where).batch(0, 1)
            for spec in chosen.inputs
        }
        given = self._process.call(worker.run, self.path, chosen.key, batch, self._kernels, self._threads)
        return {
            spec.name: spec.dequantise(given[spec.name][0]) if spec.quantised else given[spec.name][0]
            for spec in chosen.outputs
        }

    def _signature(self, key: str | None) -> Signature:
        for signature in self._interface.signatures:
            if key is None or signature.key == key:
                return signature
        known = ", ".join(repr(signature.key) for signature in self._interface.signatures)
        raise DataError(f"the metric asks for the signature {key!r}, and the model has {known}")


class Scorer:
    """Scores models by the user's metric, the original only once. Higher is better."""

    def __init__(
        self,
        metric: str | Metric,
        original: Path,
        process: InterpreterProcess,
        interface: ModelInterface,
        threads: int,
        kernels: Kernels = Kernels.DEFAULT,
    ) -> None:
        self.name = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
        self._metric = find_function(metric, "metric") if isinstance(metric, str) else metric
        self._original = original
        self._before: float | None = None
        self._model = process, interface, threads, kernels

    def compare(self, candidate: Path) -> Score:
        """The scores of both; raises DataError if the metric fails or gives no finite number."""
        if self._before is None:
            self._before = self._score(self._original)
        return Score(self.name, self._before, self._score(candidate))

    def _score(self, path: Path) -> float:
        try:
            value = float(self._metric(ScoredModel(path, *self._model)))
        except InterpreterFailure as failure:
            raise DataError(f"metric {self.name}: {path.name} cannot be run: {failure.cause}") from failure
        except TfliteClusterError:
            raise
        except (Exception, SystemExit) as error:  # the metric may raise anything
            raise DataError(f"metric {self.name}: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise DataError(f"metric {self.name}: it gives {value}, where a finite number is needed; higher is better")
        return value
