"""What a user gives as data, whatever its form, as arrays: folders of images and sounds, functions, files of numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import ModelInterface, Signature
from ..model.label_file import class_names
from ..model.metadata import normalisations, sample_rates
from ..model.read import Model
from . import audio, images
from .functions import find_function, is_function_name, samples_from
from .labels import label_files, load_label_array
from .load import Data
from .prepared import GivenLabels, Prepared, files_in


@dataclass(frozen=True)
class Reading:
    """How to read samples: a file of labels, and what pixels are normalised by (one number, or one per channel)."""

    labels: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def prepare(
    data: Data | Callable[[], Iterable[Any]], reading: Reading, model: Model, interface: ModelInterface
) -> tuple[Data, GivenLabels | None]:
    """Read what is neither an array nor a file of arrays; give data to be matched to inputs, and labels if they come in
    a file of their own.

    Raises DataError if anything cannot be read or does not fit, and ConfigError if a function cannot be imported.
    """
    by_table = reading.labels is not None and reading.labels.suffix.lower() == ".csv"
    media = _media(Path(data), reading, by_table, model, interface) if isinstance(data, str | Path) else None
    if media is None and by_table:
        raise DataError(
            f"{reading.labels}: a CSV file tells the labels of a folder of images or sounds; give a .npy file"
        )
    if reading.mean is not None and not _is_missing(data, media) and (media is None or not _has_images(media)):
        raise DataError(
            "mean, std and normalize are for folders of images, which these samples are not: leave them out"
        )
    labels = None
    if reading.labels is not None and not by_table:
        array = load_label_array(reading.labels)
        labels = GivenLabels(array if media is None else _repeated(array, media.counts), reading.labels.name)
    if media is not None:
        return media, labels
    if callable(data):
        return samples_from(data, getattr(data, "__name__", "the function given")), labels
    if isinstance(data, str | Path) and is_function_name(str(data)):
        return samples_from(find_function(str(data), "data"), str(data)), labels
    return data, labels


def _is_missing(data: object, media: Prepared | None) -> bool:
    """Whether there is nothing there, or a folder without anything known, which is told where it is read."""
    if media is not None or not isinstance(data, str | Path) or is_function_name(str(data)):
        return False
    return not os.path.isfile(data)  # noqa: PTH113  (which a name that is too long is not)


def _has_images(prepared: Prepared) -> bool:
    return any(isinstance(values, images.ImageFiles) for values in prepared.arrays.values())


def _media(folder: Path, reading: Reading, by_table: bool, model: Model, interface: ModelInterface) -> Prepared | None:
    """The images or sounds in a folder; None if it is none, or holds neither."""
    if not os.path.isdir(folder):  # noqa: PTH112  (which a name that is too long is not)
        return None
    pictures, sounds = files_in(folder, images.SUFFIXES), files_in(folder, audio.SUFFIXES)
    if not pictures and not sounds:
        return None
    if pictures and sounds:
        raise DataError(f"{folder}: both images and sounds are in this folder; give a folder of one kind")
    signature = _with_one_input(interface, folder)
    spec = signature.inputs[0]
    table = reading.labels if by_table else None
    classes = {output.shape[-1] for output in signature.outputs if output.shape}
    files, labels, words = label_files(folder, pictures or sounds, table, class_names(model), classes)
    notes = [words] if words else []
    if sounds:
        rate = sample_rates(model).get(spec.index) if _is_first(model, signature) else None
        windows = audio.load_windows(files, spec, folder.name, rate)
        arrays: Any = windows.waves
        counts: tuple[int, ...] | None = windows.counts
        notes += [windows.words] if windows.words else []
        labels = None if labels is None else _repeated(labels, counts)
    else:
        mean, std, told = _normalisation(reading, model, signature)
        frame = images.Frame.of(spec, mean, std, folder.name)
        arrays, counts = images.ImageFiles(tuple(files), frame), None
        notes.append(told or _in_words(frame))
    note = f" ({'; '.join(notes)})" if notes else ""
    by_class = None if labels is None else GivenLabels(labels, folder.name if table is None else table.name)
    return Prepared({spec.name: arrays}, by_class, folder.name, note, counts)


def _repeated(labels: npt.NDArray[Any], counts: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """The label of each sample, from that of each file; labels of another number as they are, to be refused."""
    if counts is None or labels.ndim == 0 or len(labels) != len(counts):
        return labels
    return np.repeat(labels, counts, axis=0)


def _is_first(model: Model, signature: Signature) -> bool:
    """Whether it runs the first subgraph, which metadata is about."""
    return model.subgraph_of(signature.key).index == 0


def _with_one_input(interface: ModelInterface, folder: Path) -> Signature:
    for signature in interface.signatures:
        if len(signature.inputs) == 1:
            return signature
    raise DataError(f"{folder}: a folder of files goes with a model of one input; give arrays by name in a .npz file")


def _normalisation(
    reading: Reading, model: Model, signature: Signature
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, str]:
    """Mean and deviation of pixels, as asked for or as the model's metadata says, and in words whence."""
    if reading.mean is not None and reading.std is not None:
        return reading.mean, reading.std, f"pixels less {_listed(reading.mean)}, over {_listed(reading.std)}"
    told = normalisations(model).get(signature.inputs[0].index) if _is_first(model, signature) else None
    if told is None:
        return None, None, ""
    return told.mean, told.std, f"pixels less {_listed(told.mean)}, over {_listed(told.std)}, as the metadata says"


def _in_words(frame: images.Frame) -> str:
    return "pixels as they are" if frame.mean is None else "pixels as codes of the input"


def _listed(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
