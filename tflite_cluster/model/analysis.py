"""What a model holds that can be clustered: found out once, and handed along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .layer import Layer
from .layers import find_layers
from .read import Model
from .scales import ScaleVectors, find_scale_vectors
from .select import select
from .storing.obstacle import int8_obstacle
from .verify import Span
from .weight import LeftAlone, Weight


@dataclass(frozen=True)
class Analysis:
    """A model with its weights. What only some runs ask for is found when it is first asked for, and kept."""

    model: Model
    weights: tuple[Weight, ...]
    """In the order of their bytes."""
    constants: tuple[LeftAlone, ...]
    """The other constants, each with the reason why it is left alone."""

    @cached_property
    def weight_spans(self) -> frozenset[Span]:
        """Places of all constants that operators take as weights, also of those whose values were not learned."""
        unlearned = (constant.span for constant in self.constants if constant.is_weight_operand)
        return frozenset((*(weight.span for weight in self.weights), *unlearned))

    def layers(self, weight: Weight) -> tuple[Layer, ...]:
        """All uses of a weight, as `find_layers` gives them."""
        return self._layers[weight.span]

    def layer(self, weight: Weight) -> Layer | None:
        """The only use of a weight; None if there are several, or one whose input cannot be observed."""
        layers = self.layers(weight)
        return layers[0] if len(layers) == 1 else None

    def scale_vectors(self, weight: Weight) -> ScaleVectors | None:
        """The places of a weight's scales in the file; None if they cannot be rewritten."""
        return self._scale_vectors.get(weight.span)

    def growing_scales(self, weight: Weight) -> ScaleVectors | None:
        """The places of a weight's scales in the file; None if the scales cannot be made larger."""
        vectors = self.scale_vectors(weight)
        return vectors if vectors is not None and vectors.can_grow else None

    def int8_obstacle(self, weight: Weight) -> str | None:
        """What keeps a weight from being stored as int8 codes behind DEQUANTIZE, in words; None if nothing does."""
        return self._int8_obstacles[weight.span]

    @cached_property
    def _layers(self) -> Mapping[Span, tuple[Layer, ...]]:
        return {weight.span: find_layers(self.model, weight) for weight in self.weights}

    @cached_property
    def _scale_vectors(self) -> Mapping[Span, ScaleVectors]:
        return find_scale_vectors(self.model, ((weight, self.layer(weight)) for weight in self.weights))

    @cached_property
    def _int8_obstacles(self) -> Mapping[Span, str | None]:
        return {weight.span: int8_obstacle(self.model, weight) for weight in self.weights}


def analyse(model: Model) -> Analysis:
    """Find the weights of a model.

    Raises ModelError when a weight's buffer is not as long as its shape and type say.
    """
    return Analysis(model, *select(model))
