"""Results that others published, and that cannot be measured again here: `published.toml`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """One published result. accuracy: top-1 in percent; size: of the zip in MB; each of the original and the result."""

    model: str
    layers: str
    values: int
    accuracy_before: float
    accuracy: float
    size_before: float
    size: float
    differs: str

    @property
    def is_selective(self) -> bool:
        """Whether only some layers were clustered."""
        return self.layers != "all convolutions"

    @property
    def words(self) -> str:
        """What was clustered, to how many values."""
        return f"{self.layers} at {self.values} values"

    @property
    def ratio(self) -> float:
        """How many times smaller the zip got."""
        return self.size_before / self.size

    @property
    def points(self) -> float:
        """Change of accuracy; negative if some was lost."""
        return self.accuracy - self.accuracy_before


@cache
def results() -> tuple[Published, ...]:
    """All of the file, in its order."""
    models = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        Published(
            name,
            each["layers"],
            each["values"],
            model["accuracy"],
            each["accuracy"],
            model["size"],
            each["size"],
            model["differs"],
        )
        for name, model in models.items()
        for each in model["results"]
    )


def results_for(model: str | None) -> tuple[Published, ...]:
    """Those of one model."""
    return tuple(result for result in results() if result.model == model)
