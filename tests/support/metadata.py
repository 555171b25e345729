"""TFLite metadata made small, and a model that carries it."""

from __future__ import annotations

from dataclasses import replace

import flatbuffers
import numpy as np

from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.verify import Span

from .given_samples import EXAMPLE


def metadata(mean: list[float], std: list[float]) -> bytes:
    """The flatbuffer that gives the normalisation of one input."""
    builder = flatbuffers.Builder(0)
    floats = [int(builder.CreateNumpyVector(np.array(values, np.float32))) for values in (mean, std)]
    options = _table(builder, f0=floats[0], f1=floats[1])
    return _of_one_input(builder, _table(builder, f4=_vector(builder, _table(builder, b0=1, f1=options))))


def sound_metadata(rate: int) -> bytes:
    """The flatbuffer that gives the sample rate of one input; 0 leaves it out."""
    builder = flatbuffers.Builder(0)
    audio = _table(builder, i0=rate)
    return _of_one_input(builder, _table(builder, f3=_table(builder, b0=4, f1=audio)))


def with_metadata(content: bytes) -> Model:
    """The example, as if it carried that."""
    model = open_model(EXAMPLE)
    return replace(model, data=memoryview(content), buffers=(Span(0, len(content)),), metadata={0: "TFLITE_METADATA"})


def _of_one_input(builder: flatbuffers.Builder, entry: int) -> bytes:
    inputs = _vector(builder, entry)
    builder.Finish(_table(builder, f3=_vector(builder, _table(builder, f2=inputs))), b"M001")
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, **fields: int) -> int:
    """A table; fields are named by their kind (f: offset, b: byte, i: integer) and slot."""
    builder.StartObject(8)
    for name, value in fields.items():
        slot = int(name[1:])
        if name[0] == "b":
            builder.PrependUint8Slot(slot, value, 0)
        elif name[0] == "i":
            builder.PrependUint32Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, item: int) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())
