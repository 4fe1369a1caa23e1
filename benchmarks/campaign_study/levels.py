"""Which runs of the campaign are merged, and which are held out, at each level of theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """Runs of one level of theory. learned, held_out: names of runs; a merged model is made from
    the first and judged by the second."""

    name: str
    learned: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.learned + self.held_out


LEVELS = (
    Level(
        "GFN2-xTB",
        learned=(
            "H2O2",
            "NCCN",
            "HCOOH",
            "ketene",
            "CH3CN",
            "C2H4",
            "cyclopropene",
            "propyne",
            "CH3ONO",
        ),
        held_out=("CH3CHO", "acrylonitrile", "cyclobutene", "butyne"),
    ),
    Level(
        "B3LYP",
        learned=("H2O-B3LYP", "CH4-B3LYP", "H2CO-B3LYP"),
        held_out=("C2H4-B3LYP", "CH3OH-B3LYP"),
    ),
)
"""Of `campaign_molecules.yaml`. Held out are a molecule that the foundation model knows already
(CH3CHO), three that it does not, and two at the other level."""


def present(names: Sequence[str]) -> tuple[Level, ...]:
    """The levels with those of their runs that are there; without levels that have none left to
    learn from."""
    kept = (
        Level(
            level.name,
            tuple(name for name in level.learned if name in names),
            tuple(name for name in level.held_out if name in names),
        )
        for level in LEVELS
    )
    return tuple(level for level in kept if level.learned)
