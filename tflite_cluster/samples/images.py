"""A folder of images as samples: decoded, cropped and resized by Pillow when they are asked for."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..interpreter.interface import TensorSpec

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_MODES: Final = {1: "L", 3: "RGB"}
_MOST_KEPT: Final = 256 << 20
"""Bytes of decoded pixels that are kept; the rest is decoded again each time."""


@dataclass(frozen=True)
class Frame:
    """What the images are brought to: pixels, then (pixel - mean) / std where these are not None."""

    height: int
    width: int
    channels: int
    channels_first: bool
    mean: npt.NDArray[np.float32] | None
    std: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, spec: TensorSpec, mean: Sequence[float] | None, std: Sequence[float] | None, where: str) -> Frame:
        """The frame of an image input; raises DataError if it takes no images, or nothing tells how it takes them."""
        height, width, channels, first = _geometry(spec, where)
        if mean is None or std is None:
            if spec.quantised:
                mean, std = _full_range(spec)
            elif spec.dtype.kind == "f":
                raise DataError(
                    f"{where}: nothing tells how the input {spec.name!r} takes pixels; give --normalize as in "
                    "training (-1..1, 0..1 or imagenet), or --mean and --std for pixels from 0 to 255"
                )
            else:
                return cls(height, width, channels, first, None, None)
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, channels):
                raise DataError(f"{where}: {len(values)} numbers for {name}, but images of {channels} channels")
        return cls(height, width, channels, first, np.array(mean, np.float32), np.array(std, np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        sides = self.height, self.width
        return (self.channels, *sides) if self.channels_first else (*sides, self.channels)


def _geometry(spec: TensorSpec, where: str) -> tuple[int, int, int, bool]:
    """Height, width and channels of an image input, and whether channels come first."""
    shape = spec.shape_signature
    if len(shape) == 4 and shape[0] in (-1, 1) and min(shape[1:]) > 0:
        if shape[3] in _MODES:
            return shape[1], shape[2], shape[3], False
        if shape[1] in _MODES:
            return shape[2], shape[3], shape[1], True
    sizes = ", ".join("any" if size < 0 else str(size) for size in shape)
    raise DataError(
        f"{where}: a folder of images, but the input {spec.name!r} of shape [{sizes}] takes no images of one size with "
        "1 or 3 channels; give arrays in a .npz file"
    )


def _full_range(spec: TensorSpec) -> tuple[list[float], list[float]]:
    """Pixels 0 to 255 as the codes of the input from the least to the greatest."""
    limits = np.iinfo(spec.dtype)
    low, high = (float(spec.dequantise(np.array(code))) for code in (limits.min, limits.max))
    std = 255 / (high - low)
    return [-low * std], [std]


@dataclass(frozen=True)
class ImageFiles:
    """An array whose samples are images."""

    files: tuple[Path, ...]
    frame: Frame
    _kept: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Count of images, then the shape of one."""
        return (len(self.files), *self.frame.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floats once normalised, else pixels as they are."""
        return np.dtype(np.uint8 if self.frame.mean is None else np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: slice, /) -> npt.NDArray[Any]:
        indices = range(len(self.files))[key]
        pixels: npt.NDArray[Any] = np.stack([self._pixels(index) for index in indices])
        if self.frame.mean is not None and self.frame.std is not None:
            pixels = (pixels.astype(np.float32) - self.frame.mean) / self.frame.std
        return np.moveaxis(pixels, -1, 1) if self.frame.channels_first else pixels

    def _pixels(self, index: int) -> npt.NDArray[np.uint8]:
        """One image as [height, width, channels]."""
        if index in self._kept:
            return self._kept[index]
        pixels = decode(self.files[index], self.frame)
        if (len(self._kept) + 1) * prod(self.frame.shape) <= _MOST_KEPT:
            self._kept[index] = pixels
        return pixels


def decode(path: Path, frame: Frame) -> npt.NDArray[np.uint8]:
    """The largest centred part of an image that has the frame's proportions, at its size: [height, width, channels]."""
    image_module, operations = _pillow("Image"), _pillow("ImageOps")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path) as file:
                upright = operations.exif_transpose(file)
                if upright.mode == "P":
                    upright = upright.convert("RGBA")  # which keeps the colour of what is transparent
                image = upright.convert(_MODES[frame.channels])
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        raise DataError(f"{path}: far larger than any photograph, and not decoded: {error}") from error
    except Exception as error:  # decoders raise of every type
        raise DataError(f"{path}: cannot be read as an image: {error}") from error
    fitted = operations.fit(image, (frame.width, frame.height), image_module.Resampling.BILINEAR)
    return np.asarray(fitted, np.uint8).reshape(frame.height, frame.width, frame.channels)


def _pillow(module: str) -> Any:
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise DataError("images need Pillow: pip install 'tflite-cluster[images]'") from error
