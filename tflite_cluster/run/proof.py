"""The last look at the new file before it takes its place: what the result says of it is read off the file itself."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError
from ..model.analysis import Analysis
from ..model.patch import PatchedCopy
from ..model.read import Model
from ..model.select import used_as_weights
from ..model.source import is_still
from ..model.verify import Span
from ..model.weight import Weight
from ..result import Result
from .describe import distinct_values


def prove(analysis: Analysis, source: Path | None, copy: PatchedCopy, result: Result) -> None:
    """See that the result is true of the new file, and that the input is still what it was.

    Outside the reported spans no byte differs; the new file is safe to read, with the same weights at the same places;
    each holds the very values that clustering put on its codebook, as many as the result says, and no more than were
    asked for, and the very scales. Raises ModelError if not.
    """
    model = analysis.model
    if source is not None and not is_still(source, model.data):
        raise ModelError(f"{model.label}: changed while it was read; nothing was written: run it again")
    copy.check([Span(span.start, span.stop) for span in result.spans])
    new = copy.reopen()
    weights = {weight.span: weight for weight in used_as_weights(new)[0]}
    if weights.keys() != analysis.weight_spans:
        raise ModelError(f"{new.label}: its weights are not where they were; nothing was written")
    for tensor in result.tensors:
        if tensor.clustered and tensor.span is not None and tensor.stored is None:
            weight = weights[Span(tensor.span.start, tensor.span.stop)]
            per_tensor = result.config.granularity == "tensor"
            most = result.config.most_values(tensor.name, weight.operators) if per_tensor else None
            _check_values(new, weight, tensor.values_after or 0, most)
        for place in () if tensor.span is None else (tensor.span, *tensor.scales):
            span = Span(place.start, place.stop)
            if not copy.was_written(span, new.bytes_of(span)):
                raise ModelError(
                    f"{new.label}: tensor '{tensor.name}' holds other values than were written; nothing was written"
                )
            new.forget(span)
    for stored in copy.stored.values():
        most = result.config.most_values(stored.name, weights[stored.span].operators)
        if most is not None and len(set(stored.codes.tobytes())) > most:
            raise ModelError(
                f"{new.label}: tensor '{stored.name}' holds more codes than the {most} that are asked for; "
                "nothing was written"
            )


def _check_values(new: Model, weight: Weight, reported: int, most: int | None) -> None:
    found = distinct_values(new, weight)
    new.forget(weight.span)
    if found != reported or (most is not None and found > most):
        wanted = f"{reported} were written" if found != reported else f"{most} are asked for"
        raise ModelError(
            f"{new.label}: tensor '{weight.tensor.name}' holds {found} values, and {wanted}; nothing was written"
        )
