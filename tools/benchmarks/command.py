"""The command line: goes through models and methods, and adds the rows that are missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

from . import rows
from .bench import Bench
from .measure import points, standard_error
from .method import Method, Tool, wanted
from .rows import Row
from .speed import measure
from .subjects import Subject, read_list


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
    lock = Lock()

    def measure_one(bench: Bench, tool: Tool, method: Method) -> None:
        row = bench.measured(tool, method)
        with lock:
            rows.append(options.out, row)
            print(_words(row), flush=True)

    pool = ThreadPoolExecutor(options.jobs)
    started = [
        pool.submit(measure_one, bench, tool, method)
        for subject in subjects
        for bench in [Bench(subject, options.timeout)]
        for tool, method in wanted(subject, tuple(options.methods))
        if rows.key(bench.described(tool, method)) not in done
    ]
    try:
        for future in as_completed(started):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # what is under way is finished and kept
    rows.write(options.out, _in_order(rows.newest(rows.read(options.out)), subjects))
    return 0


def _in_order(found: list[Row], subjects: list[Subject]) -> list[Row]:
    """The rows by model, as the models came into the file, and within each by tool and method."""
    models = list(dict.fromkeys(row.get("model_hash") for row in found))
    methods = [
        (subject.hash, tool.name, method.name) for subject in subjects for tool, method in wanted(subject, ("*",))
    ]
    rank = {name: number for number, name in enumerate(methods)}

    def place(row: Row) -> tuple[int, int]:
        name = row.get("model_hash"), row["tool"], row["method"]
        return models.index(name[0]), rank.get(name, len(rank))

    return sorted(found, key=place)


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
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="methods at once; times by the clock get longer"
    )
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="of one method")
    parser.add_argument("--retry", action="store_true", help="run methods that failed before once more")
    parser.add_argument("--list", action="store_true", help="show the methods, and run none")
    return parser.parse_args(arguments)
