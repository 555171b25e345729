"""read → select → cluster → patch → verify → report: a run from one end to the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from threadpoolctl import threadpool_limits

from ..config import Config, Settings
from ..errors import ConfigError, ModelError, OutputError
from ..fidelity.verdict import Fidelity
from ..files import temporary_folder
from ..model.analysis import Analysis, analyse
from ..model.draft import Draft, check_destination, is_same_file
from ..model.operators import compiled_for
from ..model.patch import PatchedCopy
from ..model.read import open_model
from ..packing.patches import patch_sizes
from ..packing.sizes import SizeMeasurements
from ..progress import Progress, no_progress
from ..result import Benchmark, FidelityError, Result, SizePair, Sizes, Update
from ..run.benchmark import benchmark
from ..run.describe import describe_constants, describe_weights
from ..run.final_check import check
from ..run.if_stored import estimate_if_stored
from ..run.proof import prove
from ..run.session import Session, open_session
from ..run.size_limit import find_size_limit
from ..run.strategy import cluster_model
from ..run.worth import refuse_what_is_not_worth_it
from ..search.base import Base, open_base
from ..targets import find_target
from ..targets.target import Target

if TYPE_CHECKING:
    from typing_extensions import Unpack


def cluster(
    source: str | Path | bytes | bytearray | memoryview | BinaryIO,
    destination: str | Path | BinaryIO | None = None,
    *,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Result:
    """Cluster the weights of a model, check that it still computes the same thing, and write it.

    source: a .tflite file, its content as any object of bytes, or a binary file object that is read to its end.
    destination: where to write the new model, or a binary file object to write it to; without it, the result's `model`
    holds its bytes.
    progress: called as progress(stage, done, total) while the work goes on.
    settings: the fields of Config.

    Nothing is written, and what was at the destination stays, when this raises: ConfigError, ModelError (the input
    is not safe to read), DataError (the samples do not fit), OutputError, NotSmallerError or FidelityError.
    """
    config = Config.of(settings)
    output = find_target(config.store)
    if not isinstance(source, str | bytes | PathLike):
        source = _content(source)
    if destination is not None and not isinstance(destination, str | PathLike):
        result = cluster(source, progress=progress, **settings)
        _write(destination, result)
        return replace(result, model=None)
    with _files(source, destination, config.force) as (original, target):
        model = open_model(source if isinstance(source, bytes) else original, scratch=target.parent)
        analysis = analyse(model)
        base = _base(analysis, original, destination, config)
        with (
            threadpool_limits(1, "blas"),  # tensors are clustered in parallel; sums must not depend on the threads
            PatchedCopy(model, target) as copy,
            open_session(analysis, original, config) as session,
        ):
            place = None if destination is None else Path(destination)
            watched = None if isinstance(source, bytes) else original
            return _clustered(_Run(analysis, original, copy, session, output, config, progress, base), place, watched)


@dataclass(frozen=True)
class _Run:
    """All that a run works with."""

    analysis: Analysis
    original: Path
    copy: PatchedCopy
    session: Session | str
    target: Target
    config: Config
    progress: Progress
    base: Base | None


def _clustered(run: _Run, destination: Path | None, watched: Path | None) -> Result:
    """Cluster, describe, compare, prove, and write.

    destination: None for the new model's bytes in the result. watched: the caller's file, which must not have changed.
    """
    analysis, config, progress = run.analysis, run.config, run.progress
    limit = find_size_limit(run.original, config)
    with SizeMeasurements() as measurements:
        before = measurements.start(run.original, config.measured)
        strategy = cluster_model(analysis, run.original, run.copy, run.session, config, progress, run.base, limit)
        with run.target.finished(analysis, run.copy) as new:
            after = measurements.start(new.path, config.measured)
            with ThreadPoolExecutor(1) as meanwhile:
                described = meanwhile.submit(describe_weights, analysis, run.copy, config)
                fidelity = check(analysis.model, run.session, run.original, new.path, config, progress, limit)
                progress("Measuring", 0, 1)
                tensors = described.result()
                progress("Measuring", 1, 1)
            sizes = None
            if config.measure:
                sizes = _sizes(SizePair(analysis.model.size, new.size), before, after, progress)
            result = Result(
                source=analysis.model.label,
                destination=destination,
                config=config,
                tensors=(*tensors, *describe_constants(analysis, run.copy)),
                strategy=strategy,
                sizes=sizes,
                fidelity=_limited(fidelity, config),
                accelerator=compiled_for(analysis.model),
                benchmark=_benchmark(run, new.path) if config.benchmark else None,
                update=None if run.base is None else _update(run.base, new, config, progress),
                if_stored=None if sizes is None else estimate_if_stored(analysis, run.copy, tensors, sizes),
            )
            prove(analysis, watched, run.copy, result)
            run.target.prove(run.copy, new)
            _refuse_failed_gates(result)
            refuse_what_is_not_worth_it(result)
            if destination is None:
                return replace(result, model=new.read())
            new.commit(config.force)
            return result


def _benchmark(run: _Run, new: Path) -> Benchmark | None:
    return benchmark(run.session, run.original, new, run.config.threads, run.progress)


def _base(analysis: Analysis, original: Path, destination: str | Path | BinaryIO | None, config: Config) -> Base | None:
    """The last release; None if none is given.

    Raises OutputError if it is the output, and ConfigError if it is the input.
    """
    if config.base is None:
        return None
    path = Path(config.base)
    if isinstance(destination, str | PathLike) and is_same_file(path, Path(destination)):
        raise OutputError(f"{path} is the base of the update: give the output another name")
    if is_same_file(path, original):
        raise ConfigError("<base> {path} is the input itself: give the file of the last release", path=path)
    return open_base(analysis, path, stores_codes=not find_target(config.store).keeps_types)


def _update(base: Base, new: Draft, config: Config, progress: Progress) -> Update:
    patches = None
    if config.measure:
        progress("Measuring patches", 0, 1)
        patches = patch_sizes(bytes(base.model.data), new.read())
        progress("Measuring patches", 1, 1)
    return Update(base.model.label, len(base.weights), base.unmatched, patches)


def _content(source: bytearray | memoryview | BinaryIO) -> bytes:
    """What an object of bytes or a file object holds; raises ModelError if that cannot be read, or is text."""
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    try:
        content = source.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or holds text that cannot be decoded
        raise ModelError(f"the given file object cannot be read: {error}") from error
    if not isinstance(content, bytes):
        raise ModelError("the given file object does not hold bytes: open it in binary mode")
    return content


def _write(destination: BinaryIO, result: Result) -> None:
    """Raises OutputError if a file object does not take all of the new model."""
    assert result.model is not None
    try:
        written = destination.write(result.model)
    except (OSError, ValueError, TypeError) as error:  # ValueError: it is closed or for reading; TypeError: for text
        raise OutputError(f"the given file object cannot be written: {error}") from error
    if written not in (None, len(result.model)):
        raise OutputError(f"the given file object took only {written} of {len(result.model)} bytes")


@contextmanager
def _files(source: str | Path | bytes, destination: str | Path | None, force: bool) -> Iterator[tuple[Path, Path]]:
    """Both models as files, since the interpreter's process takes files: temporary ones where the caller has none."""
    if destination is not None:
        check_destination(None if isinstance(source, bytes) else Path(source), Path(destination), force)
    if not isinstance(source, bytes) and destination is not None:
        yield Path(source), Path(destination)
        return
    with temporary_folder() as folder:
        if isinstance(source, bytes):
            original = folder / "original.tflite"
            original.write_bytes(source)
        else:
            original = Path(source)
        yield original, folder / "clustered.tflite" if destination is None else Path(destination)


def _limited(fidelity: Fidelity, config: Config) -> Fidelity:
    """With the limits that are broken though nobody set any, as gates that fail: no such model is written unasked."""
    return fidelity if config.has_gates else replace(fidelity, gates=(*fidelity.gates, *fidelity.below_limits))


def _sizes(file: SizePair, before: dict[str, Future[int]], after: dict[str, Future[int]], progress: Progress) -> Sizes:
    pairs: dict[str, SizePair] = {}
    for name, original in before.items():
        progress("Compressing", len(pairs), len(before))
        pairs[name] = SizePair(original.result(), after[name].result())
    progress("Compressing", len(pairs), len(before))
    return Sizes(file, pairs)


def _refuse_failed_gates(result: Result) -> None:
    failed = [f"{gate.gate}: {gate.why}" for gate in result.fidelity.gates if not gate.passed]
    if failed:
        raise FidelityError(f"{result.source}: {'; '.join(failed)}; no model was written", result)
