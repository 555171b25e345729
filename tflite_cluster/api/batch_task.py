"""One model or bundle of a batch: its task, and the record of its outcome. A worker process makes the record."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ..config import Config
from ..errors import TfliteClusterError
from ..fidelity.verdict import VERDICTS
from ..files import remove_stale, sha256, write_text
from ..result import FidelityError, NotSmallerError, Result, SizePair
from ..run.session import samples_beside
from ..version import __version__
from .bundle import cluster_bundle, is_bundle
from .cluster import cluster

Outcome = Literal["done", "not smaller", "target missed", "failed"]

MOST_ATTEMPTS: Final = 3
"""How often a model is begun whose workers are killed, the first time included."""

_NO_EFFECT: Final = ("force", "workers")
"""Settings that change nothing in the new model."""


@dataclass(frozen=True)
class BatchRecord:
    """What became of one model of a batch: a line of its results.

    The first fields say what the record holds for: it counts only while they are the same.
    """

    source: str
    """The model, as it was given."""
    destination: str
    """The name of the new model in the batch's folder."""
    source_sha256: str | None
    """Of the model; None if it cannot be read."""
    samples_sha256: str | None
    """Of the samples, labels, the base and what lies beside the model; of a folder, the names, sizes and times of its
    files."""
    settings: Mapping[str, Any]
    """Settings that differ from their defaults."""
    version: str
    outcome: Outcome
    exit_code: int
    """What `tflite-cluster` would return for this model."""
    error: str | None = None
    verdict: str | None = None
    """The verdict on the new model; for a bundle, the worst one of its models."""
    output_sha256: str | None = None
    """Of the new model; None if none was written."""
    file_bytes: tuple[int, int] | None = None
    """Bytes of the model, or of all models of a bundle, before and after."""
    zip9_bytes: tuple[int, int] | None = None
    """Bytes after zip -9 before and after; None if sizes were not measured."""
    seconds: float = 0.0
    attempts: int = 1
    """How often it was begun; more than once where a worker was killed."""

    @property
    def holds_for(self) -> tuple[object, ...]:
        """The input, the settings and the version that the record is about."""
        return self.source_sha256, self.samples_sha256, self.settings, self.version

    @property
    def is_final(self) -> bool:
        """Whether the same input and settings would end the same way again, as far as is known."""
        return self.outcome != "failed"

    def to_line(self) -> str:
        """The record as one line of JSON, without its end."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> BatchRecord | None:
        """The record in a line; None for what is none, such as a line that was cut off."""
        try:
            content = json.loads(line)
            for name in ("file_bytes", "zip9_bytes"):
                content[name] = content[name] and tuple(content[name])
            return cls(**content)
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True)
class Task:
    """A model to cluster. Paths in it are absolute, for a worker may run in another folder.

    source: the model. name: the model as it was given. destination: where the new model goes. note: where the worker
    says that it has begun, and in the end what became of the model. settings: for `cluster`.
    """

    source: Path
    name: str
    destination: Path
    note: Path
    settings: Mapping[str, Any]

    @property
    def draft(self) -> Path:
        """The new model until it is put in place, on the same disk."""
        return self.note.with_suffix(".tflite")

    def begin(self) -> BatchRecord:
        """A record without an outcome, for the input as it is now."""
        config = Config.of(self.settings)
        return BatchRecord(
            source=self.name,
            destination=self.destination.name,
            source_sha256=_digest(self.source),
            samples_sha256=_samples(self.source, config),
            settings=_changed(config),
            version=__version__,
            outcome="failed",
            exit_code=1,
        )


def run_task(task: Task) -> None:
    """Cluster a model in a worker process, and leave the record of it at the task's note; raises nothing but OSError.

    A note that is there already says how often workers were killed over this model.
    """
    attempts = begun(task.note) or 0
    if attempts >= MOST_ATTEMPTS:
        why = f"{task.name}: its worker was killed {attempts} times, mostly a sign of too little memory"
        finished = dataclasses.replace(task.begin(), error=why, attempts=attempts)
    else:
        write_text(task.note, json.dumps({"begun": attempts + 1}))
        remove_stale(task.note.parent)
        started = time.monotonic()
        finished = _finish(task)
        finished = dataclasses.replace(finished, attempts=attempts + 1, seconds=round(time.monotonic() - started, 3))
    write_text(task.note, finished.to_line())


def begun(note: Path) -> int | None:
    """How often a model was begun whose record is not there yet; None if it was not, or if its record is there."""
    try:
        count = json.loads(note.read_text(encoding="utf-8")).get("begun")
    except (OSError, ValueError):
        return None
    return count if isinstance(count, int) else None


def _finish(task: Task) -> BatchRecord:
    record = task.begin()
    try:
        # Not straight to the destination, where a file of an earlier batch may be, and `force` would say too much.
        task.draft.unlink(missing_ok=True)
        if is_bundle(task.source):
            results = [each.result for each in cluster_bundle(task.source, task.draft, **task.settings).models]
        else:
            results = [cluster(task.source, task.draft, **task.settings)]
        task.draft.replace(task.destination)
    except (FidelityError, NotSmallerError) as error:
        outcome: Outcome = "target missed" if isinstance(error, FidelityError) else "not smaller"
        return dataclasses.replace(_measured(record, [error.result]), **_failure(error), outcome=outcome)
    except TfliteClusterError as error:
        return dataclasses.replace(record, **_failure(error))
    except Exception as error:  # one model must not stop the rest
        return dataclasses.replace(record, error=f"{task.name}: {type(error).__name__}: {error}")
    measured = _measured(record, results)
    return dataclasses.replace(measured, outcome="done", exit_code=0, output_sha256=_digest(task.destination))


def _failure(error: TfliteClusterError) -> dict[str, Any]:
    return {"error": str(error), "exit_code": error.exit_code}


def _measured(record: BatchRecord, results: Sequence[Result]) -> BatchRecord:
    """The record with the worst verdict on the models of a file, and their sizes together."""
    sizes = [result.sizes for result in results if result.sizes is not None]
    return dataclasses.replace(
        record,
        verdict=max((result.fidelity.verdict for result in results), key=VERDICTS.index),
        file_bytes=_sum([each.file for each in sizes]),
        zip9_bytes=_sum([each.zip9 for each in sizes]),
    )


def _sum(pairs: Sequence[SizePair]) -> tuple[int, int] | None:
    return (sum(pair.before for pair in pairs), sum(pair.after for pair in pairs)) if pairs else None


def _changed(config: Config) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON has them."""
    found = {
        field.name: (_plain(getattr(config, field.name)), _plain(getattr(Config, field.name)))
        for field in dataclasses.fields(config)
        if field.name not in _NO_EFFECT
    }
    return {name: value for name, (value, default) in found.items() if value != default}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    if hasattr(value, "tobytes"):  # an array
        return f"{value.dtype}{list(value.shape)} {hashlib.sha256(value.tobytes()).hexdigest()}"
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _digest(path: Path) -> str | None:
    try:
        return sha256(path)
    except (OSError, ValueError):
        return None


def _samples(source: Path, config: Config) -> str | None:
    """What tells one set of samples, and one base, from another; None where there are none in files."""
    data = samples_beside(source) if config.data is None and config.run else config.data
    paths = [Path(path) for path in (data, config.labels, config.base) if isinstance(path, str | Path)]
    digest = hashlib.sha256()
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    found = Path(folder) / name
                    about = found.stat()
                    digest.update(f"{found.relative_to(path)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
        else:
            digest.update(f"{_digest(path)}\n".encode())
    return digest.hexdigest() if paths else None
