"""Models inside a file such as MediaPipe's .task: each clustered as if alone, all else left byte for byte."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ..config import Config, Settings
from ..errors import ConfigError, DataError, ModelError, OutputError
from ..files import NewFile, temporary_folder
from ..model.analysis import analyse
from ..model.draft import check_destination
from ..model.read import open_model
from ..model.recognise import what_it_is
from ..model.source import is_still, same, take
from ..model.weight import Weight
from ..packing.bundles import BEGINNING, find_container, opens_inside, read_bundle
from ..packing.bundles.bundle import Bundle, E
from ..progress import Progress, no_progress
from ..result import FidelityError, NotSmallerError, Result
from ..run.patterns import refuse_unfit, without_unfit
from ..run.worth import why_not_worth_it
from .cluster import cluster

if TYPE_CHECKING:
    from typing_extensions import Unpack

_DEEPEST: Final = 4
"""Bundles within bundles that are opened; an archive can be made to hold itself."""


_LONGEST_NAME: Final = 60
"""Characters that a file may have in its name everywhere, of up to 4 bytes each."""


@dataclass(frozen=True)
class BundledModel:
    """One model of a bundle: its name there, and what became of it. left_alone: why it was not changed, if so."""

    name: str
    result: Result
    left_alone: str | None = None


@dataclass(frozen=True)
class BundleResult:
    """A bundle that was written."""

    source: str
    destination: Path
    models: tuple[BundledModel, ...]
    """In the order of the bundle."""
    file_bytes_before: int
    file_bytes_after: int


def is_bundle(source: str | Path | bytes) -> bool:
    """Whether this is a bundle and no model, by its first bytes; False if it cannot be read."""
    if isinstance(source, bytes):
        return find_container(source) is not None
    path = Path(source)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return find_container(file.read(BEGINNING)) is not None
    except (OSError, ValueError):
        return False


def cluster_bundle(
    source: str | Path,
    destination: str | Path,
    *,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> BundleResult:
    """Cluster each model in a bundle as `cluster` would, and write the bundle anew.

    source: a zip archive with .tflite models, stored or deflated: a .task, .zip or .apk (which must be signed again).
    Or a .litertlm file of LiteRT-LM, in which models keep their length, so that `store` is refused.
    destination, progress, settings: as for `cluster`; the settings are the same for each model.

    Everything else stays byte for byte: other files, order, comments, times, and the alignment of stored files. A model
    that would not zip smaller is left unchanged. Nothing is written, and what was at the destination stays, when this
    raises: what `cluster` raises for one of the models, ModelError if the bundle is damaged, encrypted, of the zip64
    kind or holds no model, or NotSmallerError if no model would be smaller.
    """
    source, destination = Path(source), Path(destination)
    config = Config(**settings)
    config.refuse(("base",), "it is for one model, and a bundle may hold several")
    check_destination(source, destination, config.force)
    data = _take(source)
    bundle = read_bundle(data, source.name)
    if config.keep or config.rules:
        by_model = list(_weights(bundle, ()))
        if by_model:  # else it is refused below, for having no models
            refuse_unfit(list(chain.from_iterable(by_model)), config, f"any model of {source.name}")
    models, contents = _cluster_all(bundle, (), progress, settings)
    if not models:
        raise ModelError(f"{source.name}: {bundle.without_models or f'not a .tflite model: it is {what_it_is(data)}'}")
    if not contents:
        raise NotSmallerError(
            f"{source.name}: {models[0].name}: {models[0].left_alone}; no model of the bundle was changed, and none "
            "was written",
            models[0].result,
        )
    if not is_still(source, data):
        raise ModelError(f"{source.name}: changed while it was read; nothing was written: run it again")
    size = _write(bundle, contents, destination)
    return BundleResult(source.name, destination, tuple(models), len(data), size)


def _take(source: Path) -> memoryview:
    try:
        return take(source)
    except ModelError as error:
        raise ModelError(f"{source.name}: {error}") from error
    except OSError as error:
        raise ModelError(f"{source.name}: cannot be read: {error.strerror}") from error


def _weights(bundle: Bundle[E], outer: tuple[str, ...]) -> Iterator[Sequence[Weight]]:
    """Those of each model of a bundle and of the bundles in it. outer: names of the bundles that it is in."""
    for entry in bundle.entries:
        if bundle.is_model(entry):
            with _unpacked(bundle, entry) as path, _told_of(bundle, entry):
                yield analyse(open_model(path)).weights
        elif _is_inner(bundle, entry):
            with _inner(bundle, entry, outer) as inner:
                yield from _weights(inner, (*outer, entry.name))


def _cluster_all(
    bundle: Bundle[E], outer: tuple[str, ...], progress: Progress, settings: Settings
) -> tuple[list[BundledModel], dict[E, bytes]]:
    """All models of a bundle and of the bundles in it, and the new contents of its entries that change.

    outer: names of the bundles that it is in.
    """
    if bundle.keeps_lengths and Config(**settings).store != Config.store:
        raise ConfigError(
            "leave out <store>: models in {name} keep their length; store the models first, then build the bundle",
            name=bundle.label,
        )
    models, contents = [], {}
    for entry in bundle.entries:
        if bundle.is_model(entry):
            model = _clustered(bundle, entry, outer, progress, settings)
            models.append(model)
            if model.result.model is not None and model.left_alone is None:
                contents[entry] = model.result.model
        elif _is_inner(bundle, entry):
            with _inner(bundle, entry, outer) as inner:
                found, changed = _cluster_all(inner, (*outer, entry.name), progress, settings)
                models += found
                if changed:
                    new = io.BytesIO()
                    inner.write(changed, new)
                    contents[entry] = new.getvalue()
    return models, contents


def _clustered(
    bundle: Bundle[E], entry: E, outer: tuple[str, ...], progress: Progress, settings: Settings
) -> BundledModel:
    """One model, clustered; its result holds the new bytes unless it is left alone."""
    name = "/".join((*outer, entry.name))
    with _unpacked(bundle, entry) as path, _told_of(bundle, entry):
        try:
            return BundledModel(name, cluster(path, progress=progress, **_fitting(path, settings)))
        except NotSmallerError as error:
            why = why_not_worth_it(error.result) or "it would not zip smaller"
            return BundledModel(name, error.result, why)


def _fitting(path: Path, settings: Settings) -> Settings:
    """The settings for one model: patterns and rules that fit only others of the bundle are left out."""
    config = Config(**settings)
    if not (config.keep or config.rules):
        return settings
    keep, rules = without_unfit(analyse(open_model(path)).weights, config)
    return {**settings, "keep": keep, "rules": rules}


@contextmanager
def _told_of(bundle: Bundle[E], entry: E) -> Iterator[None]:
    """Name the bundle in errors about one of its models, and say what to do about a model that cannot be read."""
    try:
        yield
    except ModelError as error:
        remedy = "put a sound copy into the bundle, or take the models out and cluster the others"
        error.args = (f"{bundle.label}: {error}; nothing was written: {remedy}",)
        raise
    except FidelityError as error:
        error.args = (f"{bundle.label}: {error}",)  # the message names the model in the bundle
        raise
    except DataError as error:
        error.args = (f"{bundle.label}: {entry.name}: {error}",)
        raise


def _is_inner(bundle: Bundle[E], entry: E) -> bool:
    """Whether an entry is a bundle itself."""
    return opens_inside(entry.name) and find_container(bundle.begin(entry, BEGINNING)) is not None


@contextmanager
def _inner(bundle: Bundle[E], entry: E, outer: tuple[str, ...]) -> Iterator[Bundle[Any]]:
    """A bundle in a bundle; raises ModelError if it lies too deep."""
    label = f"{bundle.label}/{entry.name}"
    if len(outer) >= _DEEPEST:
        raise ModelError(f"{label}: more than {_DEEPEST} bundles within each other: unpack the outer ones")
    with _unpacked(bundle, entry) as path:
        yield read_bundle(take(path), label)


@contextmanager
def _unpacked(bundle: Bundle[E], entry: E) -> Iterator[Path]:
    """A file of a bundle on disk, since its size is limited by nothing but what the archive says."""
    last = PurePosixPath(entry.name).name.replace("\0", "")
    with temporary_folder() as folder:
        path = folder / (last[-_LONGEST_NAME:] or "model.tflite")  # messages name it as the bundle does
        try:
            with path.open("wb") as file:
                bundle.unpack(entry, file)
        except OSError as error:
            raise OutputError(f"{bundle.label}: '{entry.name}' cannot be unpacked: {error.strerror}") from error
        yield path


def _write(bundle: Bundle[E], contents: dict[E, bytes], destination: Path) -> int:
    """Write the new bundle, prove it, put it in place, and return its length."""
    new = NewFile(destination)
    try:
        with new.writing():
            assert new.file is not None
            bundle.write(contents, new.file)
            new.file.flush()
            size = new.path.stat().st_size
        _prove(bundle, contents, new.path)
        new.commit()
    finally:
        new.discard()
    return size


def _prove(old: Bundle[E], contents: dict[E, bytes], path: Path) -> None:
    """See that the new bundle holds the new models, and the very bytes of all other files, in the same order."""
    new: Bundle[E] = read_bundle(take(path), old.label)
    kept = len(new.entries) == len(old.entries) and all(
        one.name == other.name
        and (
            _content(new, other) == contents[one]
            if one in contents
            else same(new.data[other.start : other.stop], old.data[one.start : one.stop])
        )
        for one, other in zip(old.entries, new.entries, strict=True)
    )
    if not kept:
        raise OutputError(f"{old.label}: the new bundle does not hold what it should; nothing was written")


def _content(bundle: Bundle[E], entry: E) -> bytes:
    content = io.BytesIO()
    bundle.unpack(entry, content)
    return content.getvalue()
