"""What no step of MD may come to, and the evidence of one that would have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bnnflow.records.structures import Structure


@dataclass(frozen=True)
class Guards:
    """Limits that a healthy step is far from; one that would break them is not taken.

    temperature_K: highest instantaneous temperature, None: from the temperature schedule
    (`md.limits`); distance: shortest distance between two atoms, as a fraction of the sum of their
    covalent radii; force_eV_A: largest force on an atom that the ensemble may predict, eV/Å.
    """

    temperature_K: float | None = None
    distance: float = 0.5
    force_eV_A: float = 50.0


class GuardKind(StrEnum):
    """Which limit was broken; POSITIONS and PREDICTION: by numbers that are not finite."""

    TEMPERATURE = "temperature"
    DISTANCE = "distance"
    FORCE = "force"
    POSITIONS = "positions"
    PREDICTION = "prediction"


@dataclass(frozen=True, eq=False)
class Trip:
    """A step that a guard forbade.

    step: its number; value, limit: K, Å or eV/Å, NaN where numbers are not finite; atoms: indices
    of those that broke the limit; members: of the ensemble, whose predictions are not finite;
    structure: where the step led.
    """

    guard: GuardKind
    step: int
    value: float
    limit: float
    atoms: tuple[int, ...]
    structure: Structure
    members: tuple[int, ...] = ()
