"""Clustering for a chip, and handing the result to the chip's own tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from ..config import Settings
from ..errors import ConfigError, ModelError
from ..files import check_place
from ..model.analysis import analyse
from ..model.read import open_model
from ..targets.chips import find_chip
from ..targets.chips.chip import HandedOff


def settings_for(target: str, source: str | Path, **settings: Any) -> Settings:
    """The settings by which `cluster` makes a model for a target.

    target: a chip as `--target` names it, such as "tflm". source: the .tflite file. settings: further settings for
    `cluster`.

    If no number of clusters is given, a search counts the bits of the chip; without running the model, the number is
    the usual one for the chip. Weights that would not become smaller are kept as they are. Raises ConfigError if a
    setting contradicts the target, and ModelError if the model is not safe to read, or the target gains nothing from
    any of its weights.
    """
    chip = find_chip(target)
    wanted = settings.get("clusters")
    values = wanted or chip.usual_values
    most = max(values, *(rule.clusters or 0 for rule in settings.get("rules", ())), 0)
    if most > chip.most_values:
        raise ConfigError(
            f"<clusters> must be at most {chip.most_values} with <target> {target}, not {most}: {chip.why_no_more}"
        )
    for name, only in (("store", "same"), ("granularity", "tensor")):
        if settings.get(name, only) != only:
            raise ConfigError(f"leave out <{name}>: <target> {target} needs one codebook of the weights' own type")
    model = open_model(Path(source))
    weights = analyse(model).weights
    reasons = [(weight, chip.obstacle(weight, model, values)) for weight in weights]
    left_out = [(weight.tensor.name, reason) for weight, reason in reasons if reason is not None]
    if len(left_out) == len(weights):
        why = f", such as {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise ModelError(f"{model.label}: {target} would gain nothing from any of its weights{why}")
    keep = [*settings.get("keep", ()), *(_pattern(name) for name, _ in left_out)]
    clusters = wanted if settings.get("run", True) else values
    return cast(Settings, {**settings, "target": target, "clusters": clusters, "keep": keep})


def hand_off(target: str, source: str | Path, clustered: str | Path, *, force: bool = False) -> HandedOff:
    """Give a clustered model to the target's own tools.

    target: a chip as `--target` names it. source: the original, clustered: what `cluster` made of it, both .tflite
    files. force: replace files beside the clustered one.

    For "tflm", CLUSTERED.tflm.yaml is written, and CLUSTERED.tflm.tflite if tflite-micro is installed and computes the
    same with it, bit for bit. For "ethos-u", Vela encodes both models, and nothing is written. Raises ConfigError,
    ModelError (a model is not safe to read) or OutputError.
    """
    chip = find_chip(target)
    check_files(target, clustered, force=force)
    return chip.run(Path(source), Path(clustered))


def check_files(target: str, clustered: str | Path, *, force: bool) -> None:
    """Refuse, before any work is done, what `hand_off` could not write; raises OutputError."""
    for path in find_chip(target).files(Path(clustered)):
        check_place(path, force)


def _pattern(name: str) -> str:
    """A pattern of `keep` that only this name fits."""
    return re.sub(r"([*?\[])", r"[\1]", name)
