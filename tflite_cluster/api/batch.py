"""Many models at once: in processes of this machine, or on a cluster of machines; what is done is not done again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..config import Config, Settings
from ..errors import ConfigError, OutputError, TfliteClusterError
from ..files import check_place, named_output, refuse_shared, sha256
from ..progress import Progress, no_progress
from .batch_results import Results, collecting
from .batch_task import BatchRecord, Task, begun, run_task
from .extras import of_batch, require

if TYPE_CHECKING:
    from typing_extensions import Unpack

_CONNECT_SECONDS: Final = 30


@dataclass(frozen=True)
class Batch:
    """What became of all models of a batch, in their order. resumed: how many of them were done before."""

    folder: Path
    records: tuple[BatchRecord, ...]
    resumed: int

    @property
    def exit_code(self) -> int:
        """The highest of all models."""
        return max(record.exit_code for record in self.records)


def batch(
    models: Sequence[str | Path],
    folder: str | Path,
    *,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    suffix: str = "",
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Batch:
    """Cluster many models, or some with several settings, each in a process of its own.

    models: .tflite files, or bundles of them. folder: takes the new models, each called after its own, and the results,
    a line of JSON for each in results.jsonl; made if it is missing.
    variants: settings by the name that the new models get before their extension; each model is clustered with each.
    suffix: put before the extension of all new models.
    jobs: models clustered at a time; by default one for each processor. scheduler: the address of a Dask scheduler,
    whose workers do it instead; they need the same paths and the same version of this package.
    settings: the fields of Config, for all models. Without `workers`, the processors are shared between the jobs.

    A model that fails stops no other. A model whose worker is killed is begun again, three times at most. A model is
    not clustered again if its last record has the same input, samples, settings and version, and the new model is
    still what was written.

    Raises ConfigError or OutputError before anything is done, and OutputError if results cannot be written any more.
    """
    require(of_batch(scheduler))
    if jobs is not None and (jobs < 1 or scheduler is not None):
        raise ConfigError("<jobs> must be at least 1, and has no effect beside <scheduler>")
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (links stay)
    _make(folder)
    processes, threads = _shares(jobs, scheduler)
    given = {name: value for name, value in settings.items() if value is not None}
    with Results(folder) as results:
        tasks = _tasks(models, results, variants or {"": {}}, suffix, {"workers": threads, **given})
        left = [task for task in tasks if not _is_done(task, results)]
        if not given.get("force"):
            _refuse_to_replace(left, results)
        resumed = len(tasks) - len(left)
        with _backend(scheduler):
            _run(left, results, processes, lambda done: progress("Clustering models", resumed + done, len(tasks)))
        records = tuple(results.records[task.destination.name] for task in tasks)
    return Batch(folder, records, resumed)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"the folder {folder} cannot be made: {error}") from error


def _shares(jobs: int | None, scheduler: str | None) -> tuple[int | None, int]:
    """How many models at a time, None for as many as a cluster has threads, and how many threads for each."""
    if scheduler is not None:
        return None, 1
    from joblib import cpu_count

    processors = cpu_count()
    processes = jobs or processors
    return processes, max(1, processors // processes)


def _tasks(
    models: Sequence[str | Path],
    results: Results,
    variants: Mapping[str, Mapping[str, Any]],
    suffix: str,
    settings: Mapping[str, Any],
) -> list[Task]:
    """The tasks of the batch. Raises ConfigError or OutputError if the settings or the outputs clash."""
    tasks = []
    for variant, special in variants.items():
        chosen = _absolute({**settings, **{key: value for key, value in special.items() if value is not None}})
        config = Config.of(chosen)  # else each model would be refused for the same reason
        if len(models) > 1:
            config.refuse(("base",), f"it is for one model, and {len(models)} are given")
        for model in models:
            name = named_output(model, f".{variant}{suffix}" if variant else suffix).name
            destination = results.folder / name
            source = Path(os.path.abspath(model))  # noqa: PTH100  (links stay)
            tasks.append(Task(source, str(model), destination, results.note(destination), chosen))
    if not tasks:
        raise ConfigError("there is nothing to do: give at least one model")
    outputs = {f"the output of {task.name} ({number})": task.destination for number, task in enumerate(tasks, 1)}
    refuse_shared([task.source for task in tasks], outputs)
    return tasks


def _absolute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with paths that any working folder understands."""
    found = dict(settings)
    for name in ("data", "labels", "base"):
        value = found.get(name)
        if isinstance(value, str | Path) and os.path.exists(value):  # noqa: PTH110  (else it may be module:function)
            found[name] = os.path.abspath(value)  # noqa: PTH100
    return found


def _is_done(task: Task, results: Results) -> bool:
    """Whether the last record of a task still holds, and the new model is what was written."""
    record = results.records.get(task.destination.name)
    if record is None or not record.is_final or record.holds_for != task.begin().holds_for:
        return False
    return record.output_sha256 is None or _is_output_of(record, task)


def _is_output_of(record: BatchRecord, task: Task) -> bool:
    return task.destination.is_file() and sha256(task.destination) == record.output_sha256


def _refuse_to_replace(tasks: Sequence[Task], results: Results) -> None:
    """Refuse to replace files that no batch has written; raises OutputError."""
    for task in tasks:
        record = results.records.get(task.destination.name)
        ours = begun(task.note) is not None or (record is not None and _is_output_of(record, task))
        if not ours:
            check_place(task.destination, force=False)


@contextlib.contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    """What joblib runs tasks on: processes of this machine, or a cluster; raises ConfigError if it is not there."""
    from joblib import parallel_config

    if scheduler is None:
        from joblib.externals.loky import get_reusable_executor

        try:
            with parallel_config("loky"):
                yield
        finally:  # idle workers would keep this working folder, and the modules that they have imported
            get_reusable_executor(reuse=True).shutdown()
        return
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ConfigError("<scheduler> {address} gives no answer: {error}", address=scheduler, error=error) from error
    with client, parallel_config("dask", client=client):
        yield


def _run(tasks: Sequence[Task], results: Results, processes: int | None, told: Callable[[int], None]) -> None:
    """Have workers do all tasks, in rounds: a round ends early when a worker is killed.

    Which of the tasks under way had it killed is not known then. These are begun again one by one, after all others,
    so that none of them harms another.
    """
    left, suspects = list(tasks), list[Task]()
    while left or suspects:
        turn = left or suspects[:1]
        before = _progress(turn, results)
        with collecting(results, turn, lambda: told(sum(task.destination.name in results.new for task in tasks))):
            failure = _round(turn, processes)
        if _progress(turn, results) == before:
            raise TfliteClusterError(f"the batch stops, for its workers end before they begin: {failure}") from failure
        unfinished = [task for task in turn if task.destination.name not in results.new]
        if left:
            suspects += [task for task in unfinished if begun(task.note)]
            left = [task for task in unfinished if not begun(task.note)]
        else:
            suspects = [*unfinished, *suspects[1:]]


def _progress(turn: Sequence[Task], results: Results) -> tuple[int, int]:
    """What changes whenever any task is begun or finished."""
    return len(results.new), sum(begun(task.note) or 0 for task in turn)


def _round(turn: Sequence[Task], processes: int | None) -> Exception | None:
    """Begin tasks until all are done, or a worker is killed; the reason for that, or None."""
    from joblib import Parallel, delayed

    # With one process joblib would use this one, which must outlive any task.
    width = {"n_jobs": -1} if processes is None else {"n_jobs": max(2, processes), "pre_dispatch": processes}
    try:
        Parallel(**width, batch_size=1)(delayed(run_task)(task) for task in turn)
    except Exception as error:  # tasks raise nothing themselves: each pool has its own error for a worker that is gone
        return error
    return None
