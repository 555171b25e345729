"""The tensors that tell how far a candidate is from the original, and in which gradients begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .layers import MATRIX_OPERATORS
from .read import Model, Operator, Subgraph, Tensor
from .tape import has_gradient

_PLAIN: Final = frozenset({"RESHAPE", "DEQUANTIZE", "QUANTIZE", "SQUEEZE"})
_KEEPS_ORDER: Final = _PLAIN | {"LOGISTIC", "SOFTMAX"}

_DECIDES: Final = frozenset(
    {
        "ARG_MAX",
        "ARG_MIN",
        "NON_MAX_SUPPRESSION_V4",
        "NON_MAX_SUPPRESSION_V5",
        "TFLite_Detection_PostProcess",
        "TOPK_V2",
    }
)
"""Operators that choose among what they are given: what comes out does not tell how close the choice was."""

_NESTS: Final = frozenset({"CALL", "IF", "STABLEHLO_COMPOSITE", "WHILE"})


@dataclass(frozen=True)
class Output:
    """A tensor to compare; is_logits: whether a softmax makes an output of its last axis."""

    tensor: Tensor
    is_logits: bool


def outputs_of(model: Model, key: str | None) -> list[Output]:
    """The outputs of a signature; before the softmax where there is one, and before what only chooses among them."""
    subgraph = model.subgraphs[subgraph_of(model, key)]
    decided = _decided(subgraph)
    found: list[Output] = []
    grounds: dict[int, Output] = {}
    for output in subgraph.outputs:
        tensors = list(_grounds(subgraph, output, decided))
        grounds.update((tensor.index, Output(tensor, is_logits=False)) for tensor in tensors)
        found += [] if tensors else [_before_softmax(subgraph, output)]
    return [*found, *grounds.values()]


def subgraph_of(model: Model, key: str | None) -> int:
    """The subgraph that a signature runs; None stands for a model without signatures."""
    return model.signatures[key].subgraph if key in model.signatures else 0


def _before_softmax(subgraph: Subgraph, output: int) -> Output:
    producers = _producers(subgraph)
    tensor = _back(producers, output, _PLAIN)
    if tensor in producers and producers[tensor].name == "SOFTMAX":
        return Output(subgraph.tensors[producers[tensor].inputs[0]], is_logits=True)
    return Output(subgraph.tensors[output], is_logits=False)


def _producers(subgraph: Subgraph) -> dict[int, Operator]:
    return {tensor: operator for operator in subgraph.operators for tensor in operator.outputs}


def _back(producers: Mapping[int, Operator], tensor: int, through: frozenset[str]) -> int:
    """What a tensor was before operators of these kinds."""
    seen = set[int]()
    while tensor in producers and producers[tensor].name in through and tensor not in seen:
        seen.add(tensor)
        tensor = producers[tensor].inputs[0]
    return tensor


def _decided(subgraph: Subgraph) -> frozenset[int]:
    """Tensors that follow from a choice; none where layers come after one, which outputs alone tell of."""
    decided = set[int]()
    for operator in subgraph.operators:
        if operator.name in _DECIDES:
            decided.update(operator.outputs)
        elif not decided.isdisjoint(operator.inputs):
            if operator.name in MATRIX_OPERATORS | _NESTS or operator.is_custom:
                return frozenset()
            decided.update(operator.outputs)
    return frozenset(decided)


def _grounds(subgraph: Subgraph, output: int, decided: frozenset[int]) -> Iterator[Tensor]:
    """The computed real tensors that a decided output was chosen by, or from."""
    producers = _producers(subgraph)
    fed = set(subgraph.inputs)
    for operator in subgraph.operators:
        if not fed.isdisjoint(operator.inputs):
            fed.update(operator.outputs)
    pending, seen = [output] if output in decided else [], set[int]()
    while pending:
        for tensor in producers[pending.pop()].inputs:
            if tensor in seen or tensor not in fed or tensor not in producers:
                continue
            seen.add(tensor)
            if tensor in decided:
                pending.append(tensor)
            elif has_gradient(subgraph.tensors[tensor]):
                yield subgraph.tensors[_back(producers, tensor, _KEEPS_ORDER)]
