"""read → select → cluster → patch → verify → report: a run from one end to the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from threadpoolctl import threadpool_limits

from ..config import Config, Settings
from ..errors import ModelError, OutputError
from ..fidelity.verdict import Fidelity
from ..files import temporary_folder
from ..model.analysis import analyse
from ..model.draft import check_destination
from ..model.operators import compiled_for
from ..model.patch import PatchedCopy
from ..model.read import open_model
from ..packing.sizes import SizeMeasurements
from ..progress import Progress, no_progress
from ..result import FidelityError, Result, SizePair, Sizes
from ..run.benchmark import benchmark
from ..run.describe import describe_constants, describe_weights
from ..run.final_check import check
from ..run.proof import prove
from ..run.session import open_session
from ..run.strategy import cluster_model
from ..run.worth import refuse_what_is_not_worth_it
from ..targets import find_target

if TYPE_CHECKING:
    from typing_extensions import Unpack


def cluster(
    source: str | Path | bytes | BinaryIO,
    destination: str | Path | BinaryIO | None = None,
    *,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Result:
    """Cluster the weights of a model, check that it still computes the same thing, and write it.

    source: a .tflite file, its content, or a binary file object that is read to its end.
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
        with (
            threadpool_limits(1, "blas"),  # tensors are clustered in parallel; sums must not depend on the threads
            PatchedCopy(model, target) as copy,
            open_session(analysis, original, config) as session,
            SizeMeasurements() as measurements,
        ):
            before = measurements.start(original, config.measured)
            strategy = cluster_model(analysis, original, copy, session, config, progress)
            with output.finished(analysis, copy) as new:
                after = measurements.start(new.path, config.measured)
                tensors = describe_weights(analysis, copy, config, progress)
                fidelity = check(model, session, original, new.path, config, progress)  # meanwhile
                sizes = _sizes(SizePair(model.size, new.size), before, after, progress) if config.measure else None
                result = Result(
                    source=model.label,
                    destination=Path(destination) if destination is not None else None,
                    config=config,
                    tensors=(*tensors, *describe_constants(analysis, copy)),
                    strategy=strategy,
                    sizes=sizes,
                    fidelity=_limited(fidelity, config),
                    accelerator=compiled_for(model),
                    benchmark=(
                        benchmark(session, original, new.path, config.threads, progress) if config.benchmark else None
                    ),
                )
                prove(analysis, None if isinstance(source, bytes) else original, copy, result)
                output.prove(copy, new)
                _refuse_failed_gates(result)
                refuse_what_is_not_worth_it(result)
                if destination is None:
                    return replace(result, model=new.read())
                new.commit(config.force)
    return result


def _content(source: BinaryIO) -> bytes:
    """What a file object holds; raises ModelError if that cannot be read, or is text."""
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
