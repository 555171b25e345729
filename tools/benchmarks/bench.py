"""One model, measured with one method after the other: what becomes a row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from .measure import CODERS, MORE_CODERS, compared, sizes
from .method import Method, Tool, version_of
from .process import WorkFailedError, work
from .results import ORIGINAL, TOOL
from .rows import Row
from .subjects import Subject
from .weights import floor

Outputs = npt.NDArray[np.float64]

environment = version_of("ai-edge-litert", "numpy")
"""What the figures also depend on."""


class Bench:
    """One model under measurement; several methods may be measured at once."""

    def __init__(self, subject: Subject, timeout: float) -> None:
        self._subject = subject
        self._timeout = timeout
        self._lock = Lock()
        self._original: Outputs | None = None

    def described(self, tool: Tool, method: Method) -> Row:
        """What is known of a row before the method runs."""
        subject = self._subject
        return {
            "model": subject.title,
            "model_hash": subject.hash,
            "samples_hash": subject.samples,
            "published": subject.published,
            "is_float": subject.is_float,
            "tool": tool.name,
            "method": method.name,
            "settings": dict(method.settings),
            "uses_data": method.uses_data,
            "version": tool.version(),
        }

    def measured(self, tool: Tool, method: Method) -> Row:
        """The whole row: what the method made, or why it failed."""
        row = self.described(tool, method)
        if method.uses_data and self._subject.data is None:
            return row | {"failed": "there are no samples for calibration"}
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            try:
                return row | self._made(tool, method, Path(folder))
            except WorkFailedError as failure:
                return row | {"failed": str(failure)}

    def _made(self, tool: Tool, method: Method, folder: Path) -> Row:
        subject, output = self._subject, folder / "output.tflite"
        arguments = {
            "tool": tool.name,
            "model": str(subject.path.resolve()),
            "data": str(subject.data.resolve()) if method.uses_data and subject.data else None,
            "output": str(output),
            "settings": dict(method.settings),
            "source": None if method.source is None else str(method.source),
        }
        spent = work("make", arguments, self._timeout)
        if not output.exists():
            return {"failed": "wrote no model"}
        after = self._outputs(output, folder)
        with self._lock:  # what the original says is found once
            if self._original is None:
                self._original = self._outputs(subject.path, folder)
        with np.load(subject.labelled) as samples:
            counts = compared(self._original, after, samples["y"], subject.first_class)
        return {
            "sizes": sizes(output, (*CODERS, *MORE_CODERS) if tool.name in (ORIGINAL, TOOL) else CODERS),
            "floor": floor(output, folder / "rest"),
            "counts": counts,
            "environment": environment(),
            "seconds": spent.seconds,
            "processor": spent.processor,
            "memory": spent.memory,
        }

    def _outputs(self, model: Path, folder: Path) -> Outputs:
        found = folder / "outputs.npy"
        samples = str(self._subject.labelled.resolve())
        work("run", {"model": str(model.resolve()), "samples": samples, "output": str(found)}, self._timeout)
        outputs: Outputs = np.load(found)
        return outputs
