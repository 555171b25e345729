"""Samples that a user gives: files, folders and arrays, matched to the inputs of the model's signatures."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import ModelInterface, Signature, TensorSpec
from .prepared import GivenLabels, Prepared
from .samples import SampleArray, Samples, fit_samples

Data = str | Path | npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | Prepared

MOST_UNPACKED: Final = 4 << 30
"""Bytes of all arrays of a .npz file, which is read whole."""

_LABELS = "y"
_OTHER_LABELS: Final = "give the numbers of the model's classes, or no labels"
_UNNAMED = ""
_ZIP_MAGIC = b"PK"
_NPY_MAGIC = b"\x93NUMPY"
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,  # encrypted, or packed in a way that is not known
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class _Given:
    """What was given: arrays by name (one may have none), labels, and the place to name in errors."""

    arrays: Mapping[str, SampleArray]
    labels: GivenLabels | None
    where: str
    note: str = ""


def load_samples(data: Data, interface: ModelInterface, labels: GivenLabels | None = None) -> dict[str | None, Samples]:
    """Match samples to the signatures whose inputs they name: signature key -> samples.

    data: a .npz file or a mapping with one array per input name (or one under any name if the model has one input, and
    labels under `y`); an array or a .npy file for a model with one input; a folder with one .npy file per sample,
    sorted by name, or with such a folder for each input; or what another format prepared. The first axis of an array
    counts the samples. labels: of each sample, in place of those that `data` holds.

    A sample of as many elements as the input is reshaped; real values for a quantised input are quantised by its scale
    and zero point. A .npy file is mapped, not read. Raises DataError if anything does not fit.
    """
    inputs = {spec.name for signature in interface.signatures for spec in signature.inputs}
    given = _read(data, inputs)
    if labels is not None:
        given = replace(given, labels=labels)
    matched: dict[str | None, Samples] = {}
    misfits: list[DataError] = []
    for signature in interface.signatures:
        names = _match(signature, given, inputs)
        if names is None:
            continue
        try:
            matched[signature.key] = _samples(signature, names, given)
        except DataError as misfit:
            misfits.append(misfit)
    # An array without a name goes to whichever signature it fits; named ones must fit all that name them.
    if misfits and (not matched or not inputs.isdisjoint(given.arrays)):
        raise misfits[0]
    if not matched or not _used(given, matched, inputs):
        raise DataError(_mismatch(interface, given))
    if given.labels is not None:
        found = next(samples.labels for samples in matched.values() if samples.labels is not None)
        outputs = [spec for signature in interface.signatures if signature.key in matched for spec in signature.outputs]
        _refuse_other_classes(found, outputs, given.labels.where)
    return matched


def _match(signature: Signature, given: _Given, inputs: set[str]) -> dict[str, str] | None:
    """Map the signature's inputs to the names of their arrays; None if the arrays are not for it."""
    names = [spec.name for spec in signature.inputs]
    if names and all(name in given.arrays for name in names):
        return {name: name for name in names}
    if len(names) == 1 and len(given.arrays) == 1 and inputs.isdisjoint(given.arrays):
        return {names[0]: next(iter(given.arrays))}
    return None


def _used(given: _Given, matched: Mapping[str | None, Samples], inputs: set[str]) -> bool:
    """Whether every named array went to an input."""
    used = {name for samples in matched.values() for name in samples.inputs}
    return used >= set(given.arrays) or inputs.isdisjoint(given.arrays)


def _mismatch(interface: ModelInterface, given: _Given) -> str:
    holds = ", ".join(repr(name) for name in given.arrays if name) or "one array without a name"
    wants = " or ".join(
        " and ".join(repr(spec.name) for spec in signature.inputs) or "nothing" for signature in interface.signatures
    )
    taken = {spec.name for signature in interface.signatures for spec in signature.inputs}
    superfluous = [repr(name) for name in given.arrays if name not in taken]
    if superfluous and not taken.isdisjoint(given.arrays):
        remedy = f"leave out {', '.join(superfluous)}"
    else:
        remedy = f"give one array for each input, under its name, and labels under {_LABELS!r}"
    return f"{given.where}: it holds {holds}, and the model takes {wants}; {remedy}"


def _samples(signature: Signature, names: Mapping[str, str], given: _Given) -> Samples:
    inputs = {
        spec.name: fit_samples(given.arrays[names[spec.name]], spec, _place(given.where, names[spec.name]))
        for spec in signature.inputs
    }
    counts = {name: len(values) for name, values in inputs.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise DataError(f"{given.where}: the inputs have different numbers of samples: {listed}")
    count = next(iter(counts.values()))
    if count == 0:
        raise DataError(f"{given.where}: there are no samples in it")
    labels = None if given.labels is None else _check_labels(given.labels, count)
    words = f"{count} {'' if labels is None else 'labelled '}{'sample' if count == 1 else 'samples'}"
    return Samples(inputs, labels, f"{words} from {given.where}{given.note}", synthetic=False)


def _check_labels(given: GivenLabels, count: int) -> npt.NDArray[np.int64]:
    labels, where = given.values, given.where
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        shape = list(labels.shape)
        raise DataError(
            f"{where}: labels are whole numbers, one for each sample ([{count}]), not {labels.dtype} of shape {shape}; "
            "turn scores into class numbers with argmax"
        )
    if len(labels) != count:
        raise DataError(f"{where}: {len(labels)} labels for {count} samples: give one for each")
    classes = labels.astype(np.int64)  # in which those beyond int64 are negative
    if classes.min() < 0:
        sample = int(np.argmin(classes))
        raise DataError(
            f"{where}: the label of sample {sample} is {labels[sample]}, and samples and classes are counted from 0: "
            f"{_OTHER_LABELS}"
        )
    return classes


def _refuse_other_classes(labels: npt.NDArray[np.int64], outputs: Sequence[TensorSpec], where: str) -> None:
    """Refuse a label of a class that no output has a score for.

    Where no output is a vector of scores, or the shape of one is not known yet, the check of the outputs says so.
    """
    counts = {spec.name: spec.shape[-1] for spec in outputs if _is_vector(spec)}
    if not counts or any(size < 0 for spec in outputs for size in spec.shape_signature[1:]):
        return
    name, count = max(counts.items(), key=lambda item: item[1])
    if labels.max() < count:
        return
    sample = int(np.argmax(labels >= count))
    from_one = labels.min() > 0 and labels.max() == count
    remedy = "subtract 1 from each label" if from_one else _OTHER_LABELS
    raise DataError(
        f"{where}: the label of sample {sample} (counted from 0) is {labels[sample]}, but output {name!r} has {count} "
        f"classes, 0 to {count - 1}: {remedy}"
    )


def _is_vector(spec: TensorSpec) -> bool:
    """Whether it holds real numbers along one axis, more than one."""
    is_real = spec.quantised or np.issubdtype(spec.dtype, np.floating)
    return is_real and prod(spec.shape) > 1 and spec.shape[-1] == prod(spec.shape)


def _read(data: Data, inputs: set[str]) -> _Given:
    if isinstance(data, Prepared):
        return _Given(data.arrays, data.labels, data.where, data.note)
    if isinstance(data, Mapping):
        return _from_mapping(data, inputs, "the arrays given")
    if isinstance(data, np.ndarray):
        return _from_mapping({_UNNAMED: data}, inputs, "the array given")
    path = Path(data)
    if os.path.isdir(path):  # noqa: PTH112  (which a name that is too long is not)
        return _from_folder(path)
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        return _from_mapping({_UNNAMED: loaded}, inputs, path.name)
    return _from_mapping(loaded, inputs, path.name)


def _load(path: Path) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """Map a .npy file, or read all of a .npz file, which cannot be mapped; never unpickle."""
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  (which a name that is too long is not)
        raise DataError(f"{path}: not a regular file")
    try:
        with open(path, "rb") as file:
            magic = file.read(len(_NPY_MAGIC))
            if magic.startswith(_ZIP_MAGIC):
                file.seek(0)
                _check_unpacked(file, path)
                with np.load(file, allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files}
        if magic == _NPY_MAGIC:
            return cast("npt.NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file or folder") from error
    except UNREADABLE as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        why = "it holds Python objects, which are not read" if pickled else str(error) or "it ends too early"
        raise DataError(f"{path}: not a .npy or .npz file of plain arrays: {why}") from error
    raise DataError(f"{path}: not a .npy or .npz file; write one with numpy.save or numpy.savez")


def _check_unpacked(file: BinaryIO, path: Path) -> None:
    """Refuse an archive that would not fit into memory, be it large or a bomb."""
    with zipfile.ZipFile(file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    file.seek(0)
    if size > MOST_UNPACKED:
        raise DataError(
            f"{path}: it holds {size:,} bytes unpacked, and {MOST_UNPACKED:,} are read at most; give a .npy file or a "
            "folder of them, which are read bit by bit"
        )


def _from_mapping(arrays: Mapping[str, npt.NDArray[Any]], inputs: set[str], where: str) -> _Given:
    given = {name: np.asarray(array) for name, array in arrays.items()}
    labels = given.pop(_LABELS, None) if _LABELS not in inputs else None
    for name, array in given.items():
        if array.ndim == 0:
            raise DataError(f"{_place(where, name)}: a single number, where an array of samples is needed")
    return _Given(given, None if labels is None else GivenLabels(labels, _place(where, _LABELS)), where)


def _from_folder(path: Path) -> _Given:
    """Take each folder that holds .npy files for an input; its name within `path` is the input's."""
    folders = [path, *sorted(folder for folder in path.rglob("*") if folder.is_dir())]
    found = {folder: sorted(folder.glob("*.npy")) for folder in folders}
    arrays: dict[str, SampleArray] = {
        _UNNAMED if folder == path else folder.relative_to(path).as_posix(): NpyFiles.open(files)
        for folder, files in found.items()
        if files
    }
    if not arrays:
        raise DataError(f"{path}: there are no .npy files in this folder")
    return _Given(arrays, None, path.name)


@dataclass(frozen=True)
class NpyFiles:
    """An array whose samples are .npy files of one shape and type, read when they are asked for."""

    files: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, files: list[Path]) -> NpyFiles:
        """Look at every file; raise DataError if one cannot be read or differs from the first."""
        first, *others = (cls._sample(path) for path in files)
        for path, sample in zip(files[1:], others, strict=True):
            if sample.shape != first.shape or sample.dtype != first.dtype:
                raise DataError(
                    f"{path}: {sample.dtype} of shape {list(sample.shape)}, where {files[0].name} is {first.dtype} of "
                    f"shape {list(first.shape)}; all samples must be alike"
                )
        return cls(tuple(files), (len(files), *first.shape), first.dtype)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: slice, /) -> npt.NDArray[Any]:
        return np.stack([self._sample(path) for path in self.files[key]])

    @staticmethod
    def _sample(path: Path) -> npt.NDArray[Any]:
        loaded = _load(path)
        if not isinstance(loaded, np.ndarray):
            raise DataError(f"{path}: a .npz archive by content; a folder holds one .npy array per sample")
        return loaded


def _place(where: str, name: str) -> str:
    return f"{where}, array {name!r}" if name else where
