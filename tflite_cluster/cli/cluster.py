"""`tflite-cluster IN OUT`: cluster a model, or several."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from ..config import Config, EffortName
from ..errors import ConfigError, OutputError, TfliteClusterError
from ..fidelity.gates import GATES
from ..files import refuse_shared, sha256
from ..packing.archive import check_suffix
from ..packing.coders import CODERS, available_coders, coders_worth
from ..version import __version__
from .bundle import cluster_bundled
from .complain import complain
from .destinations import DEFAULT_SUFFIX, Job, find_jobs, other_way, refuse_shared_destinations
from .handoff import prepare, print_handed_off
from .options import (
    FILE,
    check_written,
    clusters_option,
    effort_option,
    gate_options,
    keep_option,
    limit_options,
    metric_option,
    now,
    sample_options,
    seed_option,
    size_option,
    store_option,
    target_option,
    until_nobody_reads,
)
from .pack import print_packed

if TYPE_CHECKING:
    from ..result import FidelityError, NotSmallerError, Result
    from ..targets.chips.chip import HandedOff


_LIMITS: Final = {"clusters", "granularity", "max_size", *(gate.setting for gate in GATES)}

_NORMALISATION: Final = ({"mean", "std"}, {"normalize"})
"""Two ways to say the same."""

_EPILOG = """
\b
Other commands (--help explains each): batch, check, compare, diff, inspect, pack, sweep.
\b
Exit codes: 0 done; 1 stopped or failed while writing; 2 wrong usage; 3 the input cannot be
read or is not safe; 98 the output would not zip smaller, or not by enough for how much its
outputs change; 99 a limit does not hold or cannot be measured. 0 may mean "not checked" unless a
limit is set. Of several models the highest counts, and none stops the others.
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.argument("paths", metavar="IN.tflite... [OUT.tflite|FOLDER]", type=click.Path(readable=False), nargs=-1)
@click.option(
    "--suffix",
    metavar="TEXT",
    help=f"Name each output after its model, with this before the extension. [default without OUT: {DEFAULT_SUFFIX}]",
)
@clusters_option
@click.option(
    "--granularity",
    type=click.Choice(["tensor", "axis"]),
    default=Config.granularity,
    show_default=True,
    help="One codebook per tensor, or per output channel (plain k-means; hardly zips).",
)
@store_option
@target_option
@keep_option
@sample_options
@metric_option
@click.option(
    "--no-check",
    "check",
    flag_value=False,
    default=True,
    help="Do not compare the models in the end; they are still run to calibrate.",
)
@click.option(
    "--no-run",
    "run",
    flag_value=False,
    default=True,
    help="Do not run any model, neither to calibrate nor to compare: weights are clustered by themselves.",
)
@size_option(" With --target, the bytes of the chip count.")
@click.option(
    "--coder",
    type=click.Choice(list(CODERS)),
    default=Config.coder,
    show_default=True,
    help="The coder whose bytes --max-size counts.",
)
@gate_options(lambda gate: gate.seeks)
@click.option(
    "--force",
    is_flag=True,
    help="Replace an existing output or report, and write an output that zips no smaller.",
)
@click.option(
    "--zip",
    "archive",
    metavar="OUT.zip|OUT.gz",
    type=FILE,
    help="Also pack OUT.tflite for delivery, as `tflite-cluster pack` does.",
)
@click.option(
    "--report",
    metavar="OUT.json|OUT.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the whole result as JSON, or as a page for a browser (and measure every coder).",
)
@click.option(
    "--no-sizes",
    "measure",
    flag_value=False,
    default=True,
    help="Do not measure compressed sizes, which takes longer than clustering.",
)
@click.option("--benchmark", is_flag=True, help="Measure how fast both models run, and how much memory they take.")
@click.option(
    "--base",
    metavar="OLD.tflite",
    type=FILE,
    help="The file of the last release. The new model is kept close to it, so that a patch between them is small.",
)
@seed_option
@click.option(
    "--recipe",
    metavar="FILE.toml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take settings from a recipe; what is given here goes before it.",
)
@click.option(
    "--save-recipe",
    "saved",
    metavar="FILE.toml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write down this run, and what its search chose, as a recipe that repeats it.",
)
@effort_option
@limit_options
@click.option("--log-json", is_flag=True, help="Write each stage and the outcome to standard error, as lines of JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Print tables of all tensors and sizes too.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.version_option(__version__, prog_name="tflite-cluster")
@click.pass_context
def command(
    context: click.Context,
    /,
    paths: tuple[str, ...],
    suffix: str | None,
    recipe: Path | None,
    **settings: Any,
) -> int:
    """Cluster the weights of a .tflite model, so that it zips several times smaller.

    OUT.tflite has the length of IN.tflite, unless --store makes it shorter; only weights change, and the
    interpreter checks that both models compute the same. Without OUT.tflite, IN.small.tflite is written beside
    IN.tflite. Several models go to a folder, or each beside its own with a suffix. IN may also be a bundle of
    models, such as a .task or a .litertlm: each is clustered, and all else stays.
    """
    if not paths:
        raise click.UsageError("Missing argument 'IN.tflite': name the model to cluster.")
    if recipe is not None:
        settings = with_recipe(context, recipe, settings)
    shown = _Shown(**{field.name: settings.pop(field.name) for field in fields(_Shown)})
    if shown.verbose and shown.quiet:
        raise ConfigError("leave out <verbose> or <quiet>: one prints more, and the other nothing")
    _require_extras(shown.report, settings)
    jobs = find_jobs(paths, suffix)
    for option, given in (("target", shown.target), ("base", settings["base"]), *shown.beside.items()):
        if given is not None and len(jobs) > 1:
            raise ConfigError(f"leave out <{option}>: it is for one model, and {len(jobs)} are given")
    read = [settings["data"], settings["labels"], settings["base"]]
    refuse_shared_destinations(jobs, [*read, recipe])
    read += [path for job in jobs for path in (job.source, job.destination)]
    beside = shown.by_option
    refuse_shared([*read, None if recipe == shown.saved else recipe], beside)
    if any(job.is_there for job in jobs):  # else whoever reads says what is missing, which comes first
        _check_outputs(beside, settings["force"])
    if len(paths) == 2 and suffix is None and not settings["force"] and jobs[0].takes_a_file:
        raise OutputError(f"{jobs[0].destination} exists: use --force to replace it{other_way(paths[1])}")
    if len(jobs) == 1:
        _cluster(jobs[0], shown, settings)
        return 0
    Config.of(settings)  # else each model would be refused for the same reason
    return max(_reported(number, jobs, shown, settings) for number in range(len(jobs)))


@dataclass(frozen=True)
class _Shown:
    """What is printed and written besides the model."""

    target: str | None
    archive: Path | None
    report: Path | None
    saved: Path | None
    log_json: bool
    verbose: bool
    quiet: bool

    @property
    def beside(self) -> dict[str, Path | None]:
        """The files that are written beside the model, by the names of their settings."""
        return {"zip": self.archive, "report": self.report, "save_recipe": self.saved}

    @property
    def by_option(self) -> dict[str, Path | None]:
        """The same by their options."""
        return {f"--{name.replace('_', '-')}": path for name, path in self.beside.items()}


def _reported(number: int, jobs: Sequence[Job], shown: _Shown, settings: Mapping[str, Any]) -> int:
    """One of several: the exit code, with a failure on standard error that does not stop the rest."""
    from ..report.names import printable

    if not shown.quiet:
        click.echo(("\n" if number else "") + f"{printable(str(jobs[number].source))}:")
    try:
        _cluster(jobs[number], shown, settings)
    except TfliteClusterError as error:
        return complain(error)
    except KeyboardInterrupt:
        if not number:
            raise
        where = f"number {number + 1} of {len(jobs)}; those before it are done"
        click.echo(f"tflite-cluster: stopped at {printable(str(jobs[number].source))}, {where}", err=True)
        raise click.exceptions.Exit(1) from None
    return 0


def _cluster(job: Job, shown: _Shown, settings: Mapping[str, Any]) -> None:
    """Cluster one model and say how that went; raises TfliteClusterError."""
    from ..api.bundle import is_bundle
    from ..api.cluster import cluster
    from ..result import FidelityError, NotSmallerError
    from .progress import log_line, progress_bar, progress_lines

    progress_shown = progress_lines if shown.log_json else partial(progress_bar, shown.quiet)
    if is_bundle(job.source):
        if shown.target is not None:
            raise ConfigError(
                "leave out <target>: {name} is a bundle, and this belongs to one model", name=job.source.name
            )
        beside = shown.by_option
        cluster_bundled(job.source, job.destination, progress_shown, beside, shown.quiet, shown.log_json, **settings)
        return
    if shown.target is not None:
        settings = prepare(shown.target, job.source, job.destination, settings)
    coders = _coders(job.source, shown, settings["effort"]) if shown.report is not None and settings["measure"] else ()
    try:
        with progress_shown() as progress:
            result = cluster(job.source, job.destination, progress=progress, coders=coders, **settings)
        failure = None
    except (FidelityError, NotSmallerError) as error:
        result, failure = error.result, error
    except TfliteClusterError as error:
        if shown.log_json:
            log_line(outcome="failed", source=str(job.source), error=str(error))
        raise
    with job.as_written(failure is None):
        handed = _publish(result, job, shown, failure is None, settings["force"])
        if handed is not None:
            print_handed_off(handed, result, job.destination, shown.quiet)
        if shown.archive is not None and failure is None:
            _pack(job.destination, shown.archive, settings["force"], shown.quiet)
        if shown.saved is not None and failure is None:
            from ..recipe.write import save_recipe

            save_recipe(result, job.source, shown.saved)
    if shown.log_json:
        log_line(
            outcome="failed" if failure else "done",
            source=result.source,
            zip9_ratio=None if result.sizes is None else round(result.sizes.zip9.ratio, 4),
            passed=result.fidelity.passed,
        )
    if failure is not None:
        raise _in_short(failure, shown.report, shown.quiet)


def _coders(source: Path, shown: _Shown, effort: EffortName) -> tuple[str, ...]:
    """The coders that a report compares: without --verbose, only quick ones, and none more at the least effort."""
    if shown.verbose or not source.is_file():
        return available_coders()
    return () if effort == "fast" else coders_worth(source.stat().st_size)


def _check_outputs(beside: Mapping[str, Path | None], force: bool) -> None:
    """Refuse, before any work is done, files to write beside the model that cannot be written."""
    for option, path in beside.items():
        if path is not None and option == "--zip":
            check_suffix(path)
        if path is not None:
            check_written(option, path, force)


def _pack(model: Path, archive: Path, force: bool, quiet: bool) -> None:
    from ..api.pack import pack

    packed = pack(model, archive, force=force)
    if not quiet:
        print_packed(packed.destination, packed.packed_bytes, packed.file_bytes)


def with_recipe(context: click.Context, recipe: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, with those of a recipe in place of defaults; a limit given here replaces what it chose."""
    from ..recipe.read import load_recipe

    given = {name for name in settings if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    read = load_recipe(recipe)
    replaced = given | ({"chosen"} if given & _LIMITS else set())
    if "max_size" in given:
        replaced |= _LIMITS
    elif given & _LIMITS:
        replaced |= {"max_size", "coder"}
    for one, other in (_NORMALISATION, _NORMALISATION[::-1]):
        replaced |= other if given & one else set()
    return {**settings, **{name: value for name, value in read.items() if name not in replaced}}


def _require_extras(report: Path | None, settings: Mapping[str, Any]) -> None:
    from ..api import extras

    page = [extras.PAGE] if report is not None and _is_page(report) else []
    extras.require([*page, *extras.of_settings(settings)])


def _is_page(report: Path) -> bool:
    return report.suffix.lower() in (".html", ".htm")


def _publish(result: Result, job: Job, shown: _Shown, written: bool, force: bool) -> HandedOff | None:
    """Hand a new model to the tools of its chip, and print the result with what they made; without, if they fail."""
    handed = None
    try:
        if shown.target is not None and written:
            from ..api.handoff import hand_off

            handed = hand_off(shown.target, job.source, job.destination, force=force)
    finally:
        _tell(result, job.source, shown, written, handed)
    return handed


def _tell(result: Result, source: Path, shown: _Shown, written: bool, handed: HandedOff | None) -> None:
    report = shown.report
    if report is not None and _is_page(report):
        from ..report.histograms import histograms
        from ..report.html import Origin, write_html

        found = histograms(source, result.destination) if written and result.destination is not None else ()
        write_html(result, found, report, written, Origin(_command_line(), now(), sha256(source)), handed)
    elif report is not None:
        from ..report.json import write_json

        write_json(result, report, written)
    if not shown.quiet:
        from ..report.text import print_result

        with until_nobody_reads():
            print_result(result, written, shown.verbose, handed)


def _command_line() -> str:
    """As it was typed, with the program's own name."""
    return shlex.join(["tflite-cluster", *sys.argv[1:]])


def _in_short(
    failure: FidelityError | NotSmallerError, report: Path | None, quiet: bool
) -> FidelityError | NotSmallerError:
    """The failure without the reasons that were printed already, and with what was written after all."""
    from ..result import FidelityError

    message = str(failure)
    if isinstance(failure, FidelityError) and not quiet:
        failed = ", ".join(gate.gate for gate in failure.result.fidelity.gates if not gate.passed)
        message = f"{failure.result.source}: {failed} failed; no model was written"
    if report is not None:
        message += f"; the report is in {report}"
    return type(failure)(message, failure.result)
