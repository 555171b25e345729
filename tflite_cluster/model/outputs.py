"""The tensors by which a candidate is compared with the original, and in which gradients begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .operators import record_of
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
"""Operators that choose among what they are given: their outputs do not show how close the choice was."""

_NESTS: Final = frozenset({"CALL", "IF", "STABLEHLO_COMPOSITE", "WHILE"})


@dataclass(frozen=True)
class Output:
    """A tensor to compare; is_logits: whether a softmax makes an output of its last axis."""

    tensor: Tensor
    is_logits: bool


def outputs_of(model: Model, key: str | None) -> list[Output]:
    """The outputs of a signature; before the softmax where there is one, and before what only chooses among them."""
    subgraph = model.subgraph_of(key)
    ways = _Ways(subgraph)
    found: list[Output] = []
    grounds: dict[int, Output] = {}
    for output in subgraph.outputs:
        tensors = list(ways.grounds(output))
        grounds.update((tensor, Output(subgraph.tensors[tensor], is_logits=False)) for tensor in tensors)
        found += [] if tensors else [_before_softmax(ways, output)]
    return [*found, *grounds.values()]


def chosen_outputs(model: Model, key: str | None) -> frozenset[int]:
    """The outputs of a signature, by tensor, that depend on a choice; they need not vary, and may change places."""
    subgraph = model.subgraph_of(key)
    ways = _Ways(subgraph)
    return frozenset(output for output in subgraph.outputs if any(True for _ in ways.grounds(output)))


def plain_outputs(model: Model, key: str | None) -> list[Output]:
    """The outputs of a signature as they are, which can be read where nothing else can."""
    subgraph = model.subgraph_of(key)
    return [Output(subgraph.tensors[output], is_logits=False) for output in subgraph.outputs]


def _before_softmax(ways: _Ways, output: int) -> Output:
    tensors = ways.subgraph.tensors
    tensor = ways.back(output, _PLAIN)
    scores = ways.back(tensor, frozenset({"SOFTMAX"}))
    return Output(tensors[output], is_logits=False) if scores == tensor else Output(tensors[scores], is_logits=True)


class _Ways:
    """How the tensors of a subgraph come from each other."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self._producers: dict[int, Operator] = {}
        self._fed = set(subgraph.inputs)
        for operator in subgraph.operators:
            written = [tensor for tensor in operator.outputs if tensor >= 0]
            self._producers.update(dict.fromkeys(written, operator))
            if not self._fed.isdisjoint(operator.inputs):
                self._fed.update(written)
        self._decided = _decided(subgraph)

    def back(self, tensor: int, through: frozenset[str]) -> int:
        """What a tensor was before operators of these kinds."""
        seen = set[int]()
        while tensor not in seen:
            seen.add(tensor)
            operator = self._producers.get(tensor)
            if operator is None or operator.name not in through or not operator.inputs or operator.inputs[0] < 0:
                break
            tensor = operator.inputs[0]
        return tensor

    def grounds(self, output: int) -> Iterator[int]:
        """The computed real tensors that an output was chosen by, or from; none of what no choice is made for."""
        pending, seen = [output] if output in self._decided else [], set[int]()
        while pending:
            for tensor in self._producers[pending.pop()].inputs:
                if tensor in seen or tensor not in self._fed or tensor not in self._producers:
                    continue
                seen.add(tensor)
                if tensor in self._decided:
                    pending.append(tensor)
                elif has_gradient(self.subgraph.tensors[tensor]):
                    yield self.back(tensor, _KEEPS_ORDER)


def _decided(subgraph: Subgraph) -> frozenset[int]:
    """Tensors that follow from a choice; none where layers follow a choice, because only outputs show their errors."""
    decided = set[int]()
    for operator in subgraph.operators:
        follows = not decided.isdisjoint(operator.inputs)
        is_layer = record_of(operator).layer is not None or operator.name in _NESTS
        if follows and (is_layer or (operator.is_custom and not _decides(operator))):
            return frozenset()
        if follows or _decides(operator):
            decided.update(tensor for tensor in operator.outputs if tensor >= 0)
    return frozenset(decided)


def _decides(operator: Operator) -> bool:
    return operator.name in _DECIDES
