"""The tensors that tell how far a candidate is from the original, and in which gradients begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..model.read import Model, Subgraph, Tensor

_PLAIN: Final = frozenset({"RESHAPE", "DEQUANTIZE", "QUANTIZE", "SQUEEZE"})


@dataclass(frozen=True)
class Output:
    """A tensor to compare; is_logits: whether a softmax makes an output of it."""

    tensor: Tensor
    is_logits: bool


def outputs_of(model: Model, key: str | None) -> list[Output]:
    """The outputs of a signature; before the softmax where there is one."""
    subgraph = model.subgraphs[subgraph_of(model, key)]
    return [_before_softmax(subgraph, output) for output in subgraph.outputs]


def subgraph_of(model: Model, key: str | None) -> int:
    """The subgraph that a signature runs; None stands for a model without signatures."""
    return model.signatures[key].subgraph if key in model.signatures else 0


def _before_softmax(subgraph: Subgraph, output: int) -> Output:
    producers = {tensor: operator for operator in subgraph.operators for tensor in operator.outputs}
    tensor = output
    while tensor in producers and producers[tensor].name in _PLAIN:
        tensor = producers[tensor].inputs[0]
    if tensor in producers and producers[tensor].name == "SOFTMAX":
        return Output(subgraph.tensors[producers[tensor].inputs[0]], is_logits=True)
    return Output(subgraph.tensors[output], is_logits=False)
