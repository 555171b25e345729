"""What was published of clustering with retraining, beside what this tool makes of like models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .methods.this_tool import like
from .published import Published
from .results import SAME_DATA, TOOL, Entry, Results, smallest
from .tables import error, prose, signed, table, times


@dataclass(frozen=True)
class Rival:
    """A published result, and this tool's files of the same length, made with data, that it is compared with.

    alike: made to be no larger or, where only some layers were clustered, with as many values in the same layers.
    default: made without asking for a size. at_loss: the smallest that loses no more. close: within half a point.
    """

    theirs: Published
    alike: Entry | None
    default: Entry | None
    at_loss: Entry | None
    close: Entry | None

    @property
    def is_beaten(self) -> bool:
        """Whether one of the first two, which were not chosen by their losses, is as small and loses no more."""
        asked = (entry for entry in (self.alike, self.default) if entry is not None)
        return any(entry.times() >= self.theirs.ratio and entry.points >= self.theirs.points for entry in asked)


def _rivals(results: Results) -> Iterator[Rival]:
    for model in results.models:
        entries = tuple(e for e in model.of(TOOL) if e.row["uses_data"] and e.method.startswith("in place"))
        for theirs in model.published:
            at_loss = min((e for e in entries if e.points >= theirs.points), key=lambda e: e.zip_bytes, default=None)
            alike = model.entry(like(theirs).name)
            yield Rival(theirs, alike, model.entry(SAME_DATA), at_loss, smallest(entries))


def _theirs(rival: Rival) -> tuple[str, ...]:
    theirs = rival.theirs
    return f"{theirs.model}, {theirs.words}", times(theirs.ratio), signed(theirs.points)


def _cells(entry: Entry | None) -> tuple[str, str, str]:
    return ("–", "–", "–") if entry is None else (times(entry.times()), signed(entry.points), error(entry.error))


_OURS = ("ours", "points", "±")


def published(results: Results) -> str:
    """Ours like theirs, ours at their loss, and for each model ours by default and within half a point."""
    rivals = list(_rivals(results))
    of_models = list({rival.theirs.model: rival for rival in rivals}.values())

    def beside(choose: Callable[[Rival], Entry | None]) -> str:
        head = ("published", "theirs", "points", *_OURS)
        return table(head, [(*_theirs(rival), *_cells(choose(rival))) for rival in rivals])

    def alone(choose: Callable[[Rival], Entry | None]) -> str:
        return table(("model", *_OURS), [(rival.theirs.model, *_cells(choose(rival))) for rival in of_models])

    return "\n\n".join(
        f"**{title}:**\n\n{text}"
        for title, text in {
            "Of the same size, or of the same layers and values": beside(lambda rival: rival.alike),
            "The smallest of ours that loses no more": beside(lambda rival: rival.at_loss),
            "Ours without asking for a size": alone(lambda rival: rival.default),
            "The smallest of ours that loses no more than half a point": alone(lambda rival: rival.close),
        }.items()
    )


def statement(results: Results) -> str:
    """That ours are smaller at less loss: only if that is true of every row."""
    rivals = list(_rivals(results))
    beaten = [rival for rival in rivals if rival.is_beaten]
    others = [f"{r.theirs.model}, {r.theirs.words}" for r in rivals if not r.is_beaten]
    if rivals and not others:
        return prose(
            f"For each of the {len(rivals)} published rows, the first or the third table has a file of ours that is at "
            "least as many times smaller and loses no more. Losses that differ by less than two standard errors cannot "
            "be told apart."
        )
    return prose(
        f"For {len(beaten)} of the {len(rivals)} published rows, the first or the third table has a file of ours that "
        f"is at least as many times smaller and loses no more. It has none for: {'; '.join(others)}."
    )


def differs(results: Results) -> str:
    """How their models differ from ours."""
    found = {}
    for model in results.models:
        ours = f"ours {model.original['sizes']['zip9'] / 1e6:.2f} MB and {model.accuracy:.1f} %"
        for each in model.published:
            theirs = f"theirs weighs {each.size_before} MB zipped and names {each.accuracy_before} % of classes rightly"
            found[each.model] = prose(f"- {each.model}: {theirs}, {ours}; {each.differs}.")
    return "\n".join(found.values())
