"""Which packages that are not always installed a run needs: all that are missing are named at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError
from ..packing.coders import CODERS
from ..samples.images import SUFFIXES

_MOST_FILES: Final = 10_000
"""Files of a folder that are looked at; the one that is an image comes early."""


@dataclass(frozen=True)
class Need:
    """Packages that a part of a run imports. purpose: in words, after "for". extra: the extra that installs them."""

    purpose: str
    extra: str
    packages: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that are not installed."""
        return tuple(package for package in self.packages if not _is_installed(package))


PAGE: Final = Need("an HTML report", "report", ("jinja2", "matplotlib"))
PLOT: Final = Need("a picture of a sweep", "report", ("matplotlib",))
IMAGES: Final = Need("images as samples", "images", ("PIL",))
BATCH: Final = Need("a batch", "batch", ("joblib",))
SCHEDULER: Final = Need("a Dask scheduler", "distributed", ("distributed",))

_PUBLISHED_AS: Final = {"PIL": "Pillow"}
"""Import names that pip knows by another name."""


def of_coders(names: Iterable[str]) -> list[Need]:
    """What these coders need; names that stand for none need nothing."""
    coders = [CODERS[name] for name in names if name in CODERS]
    return [Need(f"the coder {coder.name}", "codecs", (coder.package,)) for coder in coders if coder.package]


def of_batch(scheduler: str | None) -> list[Need]:
    """What runs the models of a batch."""
    return [BATCH] if scheduler is None else [BATCH, SCHEDULER]


def of_settings(settings: Mapping[str, Any]) -> list[Need]:
    """What the coder and the samples of a run need."""
    return [*of_coders([settings["coder"]] if "coder" in settings else []), *of_data(settings.get("data"))]


def of_data(data: object) -> list[Need]:
    """What samples need: Pillow, if a folder holds images."""
    if not isinstance(data, str | Path):
        return []
    try:
        files = islice(Path(data).rglob("*"), _MOST_FILES)
        return [IMAGES] if any(path.suffix.lower() in SUFFIXES for path in files) else []
    except (OSError, ValueError):  # which reading them will tell
        return []


def require(needs: Iterable[Need]) -> None:
    """Raise ConfigError, which names every package that is missing and how to install all of them."""
    lacking = [need for need in dict.fromkeys(needs) if need.missing]
    if not lacking:
        return
    listed = ", ".join(
        f"{' and '.join(_PUBLISHED_AS.get(name, name) for name in need.missing)} (for {need.purpose})"
        for need in lacking
    )
    extras = ",".join(sorted({need.extra for need in lacking}))
    raise ConfigError("not installed: {listed}; pip install 'tflite-cluster[{extras}]'", listed=listed, extras=extras)


def _is_installed(package: str) -> bool:
    try:
        import_module(package)
    except ImportError:
        return False
    return True
