"""What a search is going to do, said before it begins."""

from __future__ import annotations

from typing import Final

from ..progress import Plan

CANDIDATES: Final = 4
"""How many candidates a search mostly tries before layers are clustered in order."""

MOST_IN_ORDER: Final = 4
"""How many it tries then at most."""

IN_SHORT: Final = 2
"""How many a short search tries, if one of them is good."""


def plan(samples: int, few: int, weights: int, passes: int, to_count: bool, time: str) -> Plan:
    """A search in words.

    samples: to calibrate and judge on. few: for each of the sensitivities of so many weights; 0 if these are
    computed. passes: candidates in order at most. to_count: whether no candidates are tried, since the number of values
    is fixed. time: how long the work is meant to take at most, in words.
    """
    words = f"calibrate on {_counted(samples, 'sample')}"
    if to_count:
        return Plan(f"{words}, then cluster {_counted(weights, 'weight')}")
    if few:
        words += f", measure {2 * weights} sensitivities on {few}, then try about {CANDIDATES} candidates"
    else:
        words += f", compute sensitivities from gradients, then try about {IN_SHORT} candidates"
    words += f" and up to {passes} with layers clustered in order" if passes else ""
    return Plan(f"{words}; meant to take at most {time} on two idle processors")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
