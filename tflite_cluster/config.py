"""All settings with their defaults; nothing else in the package has any."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, get_args

if TYPE_CHECKING:
    import numpy.typing as npt

from .errors import ConfigError
from .fidelity.gates import GATES, Gates
from .packing.coders import CODERS, USUAL
from .units import parse_share

Granularity = Literal["tensor", "axis"]
Normalize = Literal["imagenet", "-1..1", "0..1"]
EffortName = Literal["fast", "normal", "thorough"]
Data: TypeAlias = "str | Path | npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | Callable[[], Iterable[Any]]"


NORMALISATIONS: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "-1..1": ((127.5,), (127.5,)),
    "0..1": ((0.0,), (255.0,)),
}
"""Mean and deviation of pixels from 0 to 255."""

_GATES: Final = tuple(gate.setting for gate in GATES)
_FOR_RUNNING: Final = (
    "data",
    "labels",
    "mean",
    "std",
    "normalize",
    "metric",
    "benchmark",
    "chosen",
    "max_size",
    "effort",
)
"""Settings that have no effect, or cannot hold, unless the model is run."""

_FOR_CHECK: Final = (*_GATES, "metric", "benchmark")
"""Settings that need the comparison in the end."""

_MOST_WORKERS = 1024
_LONGEST = 1e6
_LEAST_MEMORY = 100 * 10**6


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to cluster, how to check, and what must hold. Raises ConfigError on settings that make no sense."""

    clusters: int | None = None
    """Most distinct values in a codebook, 2 to 256; None to find the smallest zip at a fidelity."""
    granularity: Granularity = "tensor"
    """One codebook for each tensor, or one for each output channel ("axis", by plain k-means), which hardly zips."""
    store: str = "same"
    """Weights keep the type that they are stored in ("same"), or float ones become int8 codes and a scale, which the
    model unpacks by itself: the file is then shorter, and zips smaller still. With "int4", weights become int4 codes
    where that costs little: the file is shorter again, and runs take longer."""
    target: str | None = None
    """The chip whose bits a search counts, such as "ethos-u"; None to count those of a zip. `settings_for` sets it,
    together with all else that suits the chip."""
    keep: Sequence[str] = ()
    """Patterns, such as "*/logits/*", of the names of weight tensors that are left as they are."""
    rules: Sequence[Rule] = ()
    """What a recipe says of some of the weights, by operator or by name."""
    chosen: Chosen | None = None
    """What a search chose before, in a recipe, to be done again without a search."""
    data: Data | None = None
    """Samples to calibrate and check on: a path (.npz, .npy, a folder of .npy, of images or of .wav), an array, arrays
    by input name, or a function that yields samples, itself or as "module:function"."""
    labels: str | Path | None = None
    """The right class of each sample: a .npy file, or for a folder of images or sounds a .csv file of file,label."""
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    """Images become (pixel - mean) / std, one number or one per channel, where pixels are 0 to 255; by default as the
    model's metadata says."""
    normalize: Normalize | None = None
    """A usual pair of these by its name: "imagenet" (as PyTorch models have it), "-1..1" or "0..1"."""
    metric: str | Callable[[Any], float] | None = None
    """A function, itself or as "module:function", that scores a model, a higher score being better: it is called with
    an object whose `run` takes arrays by input name and gives arrays by output name, and whose `path` is the file."""
    check: bool = True
    """Compare in the end what both models compute."""
    run: bool = True
    """Run the model to calibrate, and both to compare; else weights are clustered by themselves, and nothing is known
    of what the new model computes."""
    max_size: str | int | None = None
    """What the compressed file may weigh: bytes, "1.2MB", "25%" of what it weighs now, or "4x" smaller. The best
    fidelity within it is sought. With a `target`, it is the bytes that the chip counts, such as weights in Vela's
    encoding."""
    coder: str = "zip9"
    """The coder whose bytes `max_size` counts: "gzip6", "zip9", "deflate12", "xz", "brotli11" or "zstd19"."""
    min_agreement: float | None = None
    """Percent of samples for which both models must name the same class."""
    min_sqnr: float | None = None
    """Signal-to-noise ratio in dB that every output must keep."""
    max_drop: float | None = None
    """Points of top-1 accuracy that may be lost, which needs labels; with a metric, what its score may lose."""
    confidence: float | None = None
    """Percent of confidence at which max_drop must hold: the most that may have been lost is compared with it then,
    rather than what was lost on the samples given."""
    effort: EffortName = "normal"
    """How long calibration and search may take: "normal" is meant to take at most two minutes on two processors for a
    model under 20 MB, "fast" 20 seconds, and "thorough" ten times as long as normal."""
    force: bool = False
    """Replace an existing output, and write one that zips no smaller."""
    measure: bool = True
    """Compress both files to measure what they weigh, and refuse an output that would not zip smaller. Takes longer
    than clustering does."""
    benchmark: bool = False
    """Measure how fast both models run, and how much memory they take."""
    coders: Sequence[str] = ()
    """Coders to measure besides gzip6 and zip9, by their names."""
    base: str | Path | None = None
    """The .tflite file of the last release, often a clustered one. The new model is kept close to it, so that a
    patch between the two is small."""
    seed: int = 0
    """Seed of the synthetic samples."""
    workers: int | None = None
    """Threads that cluster tensors; by default one for each processor. The result does not depend on it."""
    timeout: float | None = None
    """Seconds after which a hanging interpreter is given up; by default long, and longer for large models."""
    memory: int | None = None
    """Bytes that the interpreter may allocate; by default 4 GB and eight times the file."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Config:
        """The settings that a caller gives; also raises ConfigError for one that does not exist."""
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                meant = f"did you mean <{near[0]}>?" if near else f"there are {', '.join(known)}"
                raise ConfigError("no setting is called {name!r}: " + meant, name=name)
        return cls(**settings)

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise ConfigError("<keep> takes several patterns: write [{pattern!r}]", pattern=self.keep)
        if self.clusters is not None and not 2 <= self.clusters <= 256:
            raise ConfigError(f"<clusters> must be between 2 and 256, not {self.clusters}")
        if self.granularity not in ("tensor", "axis"):
            raise ConfigError("<granularity> must be 'tensor' or 'axis', not {given!r}", given=self.granularity)
        if self.effort not in get_args(EffortName):
            raise ConfigError("<effort> must be 'fast', 'normal' or 'thorough', not {given!r}", given=self.effort)
        if self.base is not None and not (isinstance(self.base, str | Path) and str(self.base)):
            given = repr(self.base) if isinstance(self.base, str) else type(self.base).__name__
            raise ConfigError("<base> must be the path of a .tflite file, not {given}", given=given)
        if self.seed < 0:
            raise ConfigError(f"<seed> must not be negative, but is {self.seed}")
        if self.workers is not None and not 1 <= self.workers <= _MOST_WORKERS:
            raise ConfigError(f"<workers> must be between 1 and {_MOST_WORKERS}, not {self.workers}")
        if self.timeout is not None and self.timeout > _LONGEST:
            raise ConfigError(f"<timeout> must be at most {_LONGEST:.0f} seconds, not {self.timeout}")
        if self.timeout is not None and not math.isfinite(self.timeout):
            raise ConfigError(f"<timeout> must be a finite number, not {self.timeout}")
        for name in ("timeout", "memory"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"<{name}> must be positive, not {value}")
        if self.memory is not None and self.memory < _LEAST_MEMORY:
            raise ConfigError(f"<memory> must be at least 100MB, which the interpreter itself takes, not {self.memory}")
        self._refuse_odd_gates()
        self._refuse_contradictions()

    def _refuse_odd_gates(self) -> None:
        for gate, limit in self.gates:
            if why := gate.refusal(limit):
                raise ConfigError(f"<{gate.setting}> {why}")
        if self.confidence is not None and not 50 < self.confidence < 100:
            raise ConfigError(f"<confidence> is a percentage between 50 and 100, such as 95, not {self.confidence}")
        if self.confidence is not None and (self.gates.by_metric is None or self.metric is not None):
            raise ConfigError(
                "<confidence> needs <max_drop> on labelled samples: give <max_drop>, and leave out <metric>"
            )

    def _refuse_contradictions(self) -> None:
        if not self.run:
            self.refuse((*_FOR_RUNNING, *_GATES), "it needs the model to be run; or <+run>")
        if not self.check:
            self.refuse(_FOR_CHECK, "it belongs to the comparison in the end; or <+check>")
        if self.labels is not None and self.data is None:
            raise ConfigError("labels belong to samples: give <data> too")
        self._refuse_odd_normalisation()
        if self.granularity == "axis" and self.clusters is None:
            raise ConfigError("<granularity> 'axis' needs a number of <clusters>")
        if self.granularity == "axis":
            self.refuse(("base",), "it is for codebooks of whole tensors: leave <granularity> at 'tensor'")
        if self.granularity == "axis" and self.store != "same":
            raise ConfigError(
                "<store> {store!r} has codes for a whole tensor: leave <granularity> at 'tensor'", store=self.store
            )
        if self.chosen is not None and (self.clusters is not None or self.granularity == "axis"):
            raise ConfigError("a recipe's chosen prices are for a search: leave out <clusters> and <granularity>")
        if self.max_size is not None and self.clusters is not None:
            raise ConfigError("<max_size> asks for the best fidelity within a size: leave out <clusters>")
        if self.max_size is not None:
            self.size_limit(1)
        self._refuse_odd_coders()

    def _refuse_odd_coders(self) -> None:
        if self.max_size is None:
            self.refuse(("coder",), "it says whose bytes <max_size> counts: give <max_size> too")
        if isinstance(self.coders, str):
            raise ConfigError("<coders> takes several names: write [{given!r}]", given=self.coders)
        if self.coders and not self.measure:
            raise ConfigError("leave out <coders>, since sizes are not measured, or <+measure>")
        for setting, name in (("coder", self.coder), *(("coders", name) for name in self.coders)):
            if name not in CODERS:
                known = ", ".join(map(repr, CODERS))
                raise ConfigError(f"<{setting}> must be one of {{known}}, not {{given!r}}", known=known, given=name)
            if not CODERS[name].is_available:
                raise ConfigError(
                    f"<{setting}> {{given!r}} needs the package {CODERS[name].package}: "
                    "pip install 'tflite-cluster[codecs]'",
                    given=name,
                )

    def _refuse_odd_normalisation(self) -> None:
        if self.normalize is not None and self.normalize not in NORMALISATIONS:
            known = ", ".join(map(repr, NORMALISATIONS))
            raise ConfigError("<normalize> must be one of {known}, not {given!r}", known=known, given=self.normalize)
        if self.normalize is not None and (self.mean is not None or self.std is not None):
            raise ConfigError("<normalize> stands for a mean and a std: leave out <mean> and <std>, or <normalize>")
        mean, std = self.numbers("mean"), self.numbers("std")
        if (mean is None) != (std is None):
            raise ConfigError("<mean> and <std> go together: give both, or none")
        if mean is not None and self.data is None:
            names = "<mean> and <std> say" if self.normalize is None else "<normalize> says"
            raise ConfigError(f"{names} how images are read: give <data> too")
        if not all(map(math.isfinite, (*(mean or ()), *(std or ())))) or 0 in (std or ()):
            raise ConfigError("<mean> and <std> must be finite numbers, and std not 0")
        if mean is not None and std is not None:
            _refuse_what_is_for_scaled_pixels(mean, std)

    def refuse(self, names: Iterable[str], why: str) -> None:
        """Raise ConfigError if one of these settings differs from its default, for it would have no effect."""
        for name in names:
            value, default = getattr(self, name), getattr(Config, name)
            if value is not default and (default is None or value != default):  # an array is not to be compared
                raise ConfigError(f"leave out <{name}>: {why}")

    def numbers(self, name: Literal["mean", "std"]) -> tuple[float, ...] | None:
        """The mean or the deviation of pixels, one number or one for each channel; None if neither is set."""
        if self.normalize is not None:
            return NORMALISATIONS[self.normalize][0 if name == "mean" else 1]
        value: float | Sequence[float] | None = getattr(self, name)
        if value is None:
            return None
        return (float(value),) if isinstance(value, int | float) else tuple(map(float, value))

    def keeps(self, name: str, operators: Collection[str]) -> bool:
        """Whether a weight tensor of that name, used by those operators, is left unchanged."""
        rule = find_rule(self.rules, name, operators)
        return any(fnmatchcase(name, pattern) for pattern in self.keep) or (rule is not None and rule.clusters is None)

    def most_values(self, name: str, operators: Collection[str]) -> int | None:
        """Most distinct values of such a weight tensor, by its rule or else for all; None if there is no limit."""
        rule = find_rule(self.rules, name, operators)
        return self.clusters if rule is None or rule.clusters is None else rule.clusters

    @property
    def has_gates(self) -> bool:
        """Whether anything must hold before an output is written."""
        return self.gates.any

    @property
    def gates(self) -> Gates:
        """The limits that fidelity must keep."""
        return Gates(self.confidence, **{setting: getattr(self, setting) for setting in _GATES})

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the coders by which both files are compressed to measure them, in the order of reports."""
        wanted = {*USUAL, *self.coders, self.coder} if self.measure else set()
        return tuple(name for name in CODERS if name in wanted)

    def size_limit(self, compressed: int) -> int | None:
        """Bytes that max_size allows, if the original takes `compressed`; None without max_size."""
        try:
            return None if self.max_size is None else parse_share(str(self.max_size), compressed)
        except ValueError as error:
            raise ConfigError("<max_size>: {error}", error=error) from None

    @property
    def threads(self) -> int:
        """Threads that cluster and compress."""
        return self.workers or os.cpu_count() or 1


def _refuse_what_is_for_scaled_pixels(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raise ConfigError for a mean and a deviation that can only be meant for pixels of 0 to 1."""
    largest_mean, smallest_std = max(map(abs, mean)), min(map(abs, std))
    if smallest_std >= 1 and not (0 < largest_mean < 1 and max(map(abs, std)) <= 1):
        return
    if largest_mean > 1:
        raise ConfigError(
            f"a <std> of {smallest_std:g} is meant for pixels from 0 to 1, but pixels here go from 0 to 255: give "
            f"{255 * smallest_std:.6g}"
        )
    scaled = [tuple(255 * value for value in values) for values in (mean, std)]
    words = [",".join(f"{value:.6g}" for value in values) for values in scaled]
    name = next((name for name, pair in NORMALISATIONS.items() if all(map(_is_about, scaled, pair))), None)
    raise ConfigError(
        "this <mean> and this <std> are meant for pixels from 0 to 1, but pixels here go from 0 to 255: give <mean> "
        f"{words[0]} and <std> {words[1]}" + ("" if name is None else f", or in short <normalize> {name}")
    )


def _is_about(given: Sequence[float], usual: Sequence[float]) -> bool:
    """Whether numbers, for each channel or one for all, are the usual ones but for how they were rounded."""
    lists = (given, usual) if len(given) == len(usual) else (given, [*usual] * len(given))
    return len(lists[0]) == len(lists[1]) and all(abs(a - b) < 1 for a, b in zip(*lists, strict=True))


@dataclass(frozen=True)
class Rule:
    """For weights of an operator, or of tensors by the pattern of their name: most values, or None to leave them."""

    pattern: str
    by_operator: bool
    clusters: int | None

    def fits(self, name: str, operators: Collection[str]) -> bool:
        """Whether it is about a weight of that name, used by those operators."""
        return self.pattern in operators if self.by_operator else fnmatchcase(name, self.pattern)


def find_rule(rules: Sequence[Rule], name: str, operators: Collection[str]) -> Rule | None:
    """The rule for a weight: one by name goes before one by operator, a later one before an earlier one."""
    fitting = [rule for rule in rules if rule.fits(name, operators)]
    return max(fitting, key=lambda rule: (not rule.by_operator, rules.index(rule)), default=None)


@dataclass(frozen=True)
class Chosen:
    """What a search chose for one model, of that SHA-256: the price of a bit in each weight, by its number, and whether
    layers were clustered in the order in which they are run.
    """

    model: str
    in_order: bool
    prices: dict[int, float]


class Settings(TypedDict, total=False):
    """The fields of Config as keyword arguments, for type checkers; a test holds the two together."""

    clusters: int | None
    granularity: Granularity
    store: str
    target: str | None
    keep: Sequence[str]
    rules: Sequence[Rule]
    chosen: Chosen | None
    data: Data | None
    labels: str | Path | None
    mean: float | Sequence[float] | None
    std: float | Sequence[float] | None
    normalize: Normalize | None
    metric: str | Callable[[Any], float] | None
    check: bool
    run: bool
    max_size: str | int | None
    coder: str
    min_agreement: float | None
    min_sqnr: float | None
    max_drop: float | None
    confidence: float | None
    effort: EffortName
    force: bool
    measure: bool
    benchmark: bool
    coders: Sequence[str]
    base: str | Path | None
    seed: int
    workers: int | None
    timeout: float | None
    memory: int | None
