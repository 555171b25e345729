"""Types and options that several commands share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import click

from ..config import NORMALISATIONS, Config, EffortName
from ..errors import OutputError
from ..fidelity.gate import Gate
from ..fidelity.gates import GATES
from ..files import check_place
from ..targets import NAMES as FILES
from ..targets.chips import NAMES as CHIPS
from ..units import parse_bytes

Command: TypeAlias = Callable[..., Any]

FILE: Final = click.Path(readable=False, path_type=Path)
"""A path that is not looked at: whoever opens it says what is wrong with it, with the right exit code."""


def byte_count(value: str | int) -> int:
    """A number of bytes from words like 4GB."""
    try:
        return value if isinstance(value, int) else parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def numbers(value: str | tuple[float, ...]) -> tuple[float, ...]:
    """One or several numbers from words like 127.5 or 123.7,116.8,103.9."""
    try:
        return value if isinstance(value, tuple) else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number, nor several with commas between them") from None


@contextlib.contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Print to a reader who may leave early, which undoes nothing and is no failure."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def now() -> str:
    """The time in UTC, in words for a page."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def check_written(option: str, path: Path, force: bool) -> None:
    """Refuse, before any work is done, a file that cannot be written; raises OutputError."""
    if str(path) == "-":
        raise OutputError(f"{option} takes the name of a file, not -")
    check_place(path, force)


_SAMPLE: Final = (
    click.option(
        "--data",
        metavar="PATH",
        type=FILE,
        help="Samples to calibrate and check on: .npz (inputs by name or one array x; labels y), .npy, a folder of "
        ".npy, of images or of .wav, or a Python function as module:function. By default IN.samples.npz beside the "
        "model, else synthetic samples.",
    ),
    click.option(
        "--labels",
        metavar="FILE",
        type=FILE,
        help="The class of each sample: .npy, or .csv with lines file,label. Class folders need none.",
    ),
    click.option(
        "--mean",
        metavar="X[,Y,Z]",
        type=numbers,
        help="Images become (pixel - mean) / std, pixels being 0 to 255. [default: as metadata says]",
    ),
    click.option("--std", metavar="X[,Y,Z]", type=numbers, help="Likewise."),
    click.option(
        "--normalize",
        type=click.Choice(list(NORMALISATIONS)),
        help="A usual mean and std by name: imagenet for PyTorch models, or the range that pixels are scaled to.",
    ),
)

_LIMIT: Final = (
    click.option("--workers", metavar="N", type=int, help="Threads; the result does not depend on it. [default: all]"),
    click.option("--timeout", metavar="SECONDS", type=float, help="Give up a hanging interpreter after this long."),
    click.option("--memory", metavar="SIZE", type=byte_count, help="Most memory for the interpreter, such as 4GB."),
)


def sample_options(function: Command) -> Command:
    """Options that say which samples a model is run on."""
    return _with(_SAMPLE, function)


def limit_options(function: Command) -> Command:
    """Options that say how much the work may take."""
    return _with(_LIMIT, function)


effort_option: Final = click.option(
    "--effort",
    type=click.Choice(get_args(EffortName)),
    default=Config.effort,
    show_default=True,
    help="How long to calibrate and search: fast is meant to take at most 20 seconds, normal two minutes, and thorough "
    "ten times as long.",
)


def gate_options(words: Callable[[Gate], str]) -> Callable[[Command], Command]:
    """One option for each gate, with the help that `words` gives it, and the confidence at which they must hold."""
    options = [click.option(gate.option, metavar=gate.metavar, type=float, help=words(gate)) for gate in GATES]
    by_labels = " or ".join(gate.option for gate in GATES if gate.by_metric)
    confidence = click.option(
        "--confidence",
        metavar="PERCENT",
        type=float,
        help=f"With {by_labels} and labels: the limit must hold with this much confidence, such as 95.",
    )
    return lambda function: _with((*options, confidence), function)


clusters_option: Final = click.option(
    "--clusters",
    metavar="N",
    type=int,
    help="Give every tensor a codebook of at most N values, 2 to 256, instead of what suits it.",
)


def size_option(more: str = "") -> Callable[[Command], Command]:
    """more: what to add to the help."""
    words = f"Seek the best fidelity in this zip size: 1.2MB, 25% or 4x.{more}"
    return click.option("--max-size", metavar="SIZE", help=words)


keep_option: Final = click.option(
    "--keep", metavar="PATTERN", multiple=True, help="Leave weights of such names alone, like '*/logits/*'; repeatable."
)

metric_option: Final = click.option(
    "--metric", metavar="MODULE:FUNCTION", help="Score both models by a Python function; higher is better."
)

seed_option: Final = click.option(
    "--seed", type=int, default=Config.seed, show_default=True, help="Seed of the synthetic samples."
)

store_option: Final = click.option(
    "--store",
    type=click.Choice(FILES),
    default=Config.store,
    show_default=True,
    help="Store float weights as int8 codes that the model unpacks: OUT.tflite is shorter, and zips smaller still. "
    "int4 stores some of them as int4 codes: the file is the shortest, and runs are slower.",
)

target_option: Final = click.option(
    "--target",
    type=click.Choice(CHIPS),
    help="Cluster for a chip, and then call the chip's own tools: ethos-u (Arm's Vela) or tflm (tflite-micro).",
)


def _with(options: tuple[Callable[[Command], Command], ...], function: Command) -> Command:
    for option in reversed(options):
        function = option(function)
    return function
