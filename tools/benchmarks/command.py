"""The command line: goes through models and methods, and adds the rows that are missing."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import rows
from .measure import CODERS, MORE_CODERS, compared, points, sizes, standard_error
from .method import Method, Tool, version_of, wanted
from .process import WorkFailedError, work
from .results import ORIGINAL, TOOL
from .rows import Row
from .speed import measure
from .subjects import Subject, read_list
from .weights import floor


def main(arguments: Sequence[str], description: str | None = None) -> int:
    """Measure, and return the exit code: 0 even if methods failed, whose rows say so."""
    options = _parse(arguments, description)
    for row in measure(options.out, options.speed, options.timeout):
        print(_words(row), flush=True)
    subjects = _subjects(options)
    if options.list:
        for subject in subjects:
            for tool, method in wanted(subject, tuple(options.methods)):
                print(f"{subject.title}: {tool.name}/{method.name}")
        return 0
    found = rows.newest(rows.read(options.out))
    rows.write(options.out, found)
    done = {rows.key(row) for row in found if not (options.retry and "failed" in row)}
    for subject in subjects:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            bench = _Bench(subject, Path(folder), options.timeout)
            for tool, method in wanted(subject, tuple(options.methods)):
                row = bench.described(tool, method)
                if rows.key(row) not in done:
                    row = row | bench.measured(tool, method)
                    rows.append(options.out, row)
                    print(_words(row), flush=True)
    return 0


environment = version_of("ai-edge-litert", "numpy")
"""What the figures also depend on."""


class _Bench:
    """One model under measurement; what the original says of the samples is found once."""

    def __init__(self, subject: Subject, folder: Path, timeout: float) -> None:
        self._subject = subject
        self._folder = folder
        self._timeout = timeout
        self._original: np.ndarray | None = None

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
        """The rest of the row: what the method made, or why it failed."""
        subject, output = self._subject, self._folder / "output.tflite"
        output.unlink(missing_ok=True)
        if method.uses_data and subject.data is None:
            return {"failed": "there are no samples for calibration"}
        arguments = {
            "tool": tool.name,
            "model": str(subject.path.resolve()),
            "data": str(subject.data.resolve()) if method.uses_data and subject.data else None,
            "output": str(output),
            "settings": dict(method.settings),
            "source": None if method.source is None else str(method.source),
        }
        try:
            spent = work("make", arguments, self._timeout)
            if not output.exists():
                return {"failed": "wrote no model"}
            after = self._outputs(output)
        except WorkFailedError as failure:
            return {"failed": str(failure)}
        if self._original is None:
            self._original = self._outputs(subject.path)
        with np.load(subject.labelled) as samples:
            counts = compared(self._original, after, samples["y"], subject.first_class)
        return {
            "sizes": sizes(output, (*CODERS, *MORE_CODERS) if tool.name in (ORIGINAL, TOOL) else CODERS),
            "floor": floor(output, self._folder / "rest"),
            "counts": counts,
            "environment": environment(),
            "seconds": spent.seconds,
            "processor": spent.processor,
            "memory": spent.memory,
        }

    def _outputs(self, model: Path) -> np.ndarray:
        found = self._folder / "outputs.npy"
        samples = str(self._subject.labelled.resolve())
        work("run", {"model": str(model.resolve()), "samples": samples, "output": str(found)}, self._timeout)
        return np.load(found)


def _words(row: Row) -> str:
    name = f"{row['model']}: {row['tool']}/{row['method']}: "
    if "failed" in row:
        return name + row["failed"]
    if "counts" not in row:
        return f"{name}{row['processor']:.1f} s of processor time, {row['memory'] / 1e6:,.0f} MB of memory"
    counts = row["counts"]
    return (
        f"{name}zip {row['sizes']['zip9']:,}, {points(counts):+.2f} ± {standard_error(counts):.2f} points, "
        f"{row['processor']:.1f} s of processor time"
    )


def _subjects(options: argparse.Namespace) -> list[Subject]:
    if options.models is None:
        return []
    if options.models.suffix in (".toml", ".json"):
        if options.labelled or options.data:
            raise SystemExit("a list of models names their samples itself: leave out --data and --labelled")
        return read_list(options.models)
    if options.labelled is None:
        raise SystemExit("a model needs --labelled: an .npz file with samples x and their classes y")
    return [Subject(options.models, options.labelled, options.data, options.name, options.first_class)]


def _parse(arguments: Sequence[str], description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmark.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="?", metavar="MODEL.tflite|LIST.toml|LIST.json")
    parser.add_argument("--data", type=Path, metavar="NPZ", help="samples that methods may calibrate on")
    parser.add_argument("--labelled", type=Path, metavar="NPZ", help="samples x and classes y to judge by")
    parser.add_argument("--first-class", type=int, default=0, metavar="N", help="the output that stands for class 0")
    parser.add_argument("--name", default="", help="what tables call the model")
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"), help="the file of rows")
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="PATTERN", help='of "tool/method"')
    parser.add_argument(
        "--speed",
        nargs="+",
        default=[],
        metavar="SIZE",
        help="measure time and memory on generated models, such as 10MB",
    )
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="of one method")
    parser.add_argument("--retry", action="store_true", help="run methods that failed before once more")
    parser.add_argument("--list", action="store_true", help="show the methods, and run none")
    return parser.parse_args(arguments)
