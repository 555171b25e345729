"""The beginning of a model, up to one of its tensors, as a model: a few bytes of the file changed."""

from __future__ import annotations

import struct

from .fields import root, tables_of, target_at
from .read import CONTROL_DEPENDENCIES, Model, Tensor


def prefix(model: Model, tensor: Tensor) -> dict[int, bytes]:
    """What to put where in the file so that the tensor's subgraph ends where it is written, and gives it alone.

    Signatures then give nothing. It fits any file that differs from the model in the content of buffers only. It is
    empty where all of the subgraph has to be run: no operator writes the tensor, or metadata speak of operators.
    """
    data, graph = model.data, model.subgraphs[tensor.subgraph]
    writers = [operator.index for operator in graph.operators if tensor.index in operator.outputs]
    if not writers or not graph.outputs or CONTROL_DEPENDENCIES in model.metadata.values():
        return {}
    table = tables_of(data, target_at(data, "Model", root(data), "subgraphs"))[tensor.subgraph]
    inputs, outputs, operators = (
        target_at(data, "SubGraph", table, name) for name in ("inputs", "outputs", "operators")
    )
    if operators is None or outputs is None or outputs == inputs:
        return {}
    signatures = tables_of(data, target_at(data, "Model", root(data), "signature_defs"))
    given = [target_at(data, "SignatureDef", signature, "outputs") for signature in signatures]
    return {
        operators: struct.pack("<I", writers[-1] + 1),
        outputs: struct.pack("<Ii", 1, tensor.index),
        **{vector: struct.pack("<I", 0) for vector in given if vector is not None},
    }
