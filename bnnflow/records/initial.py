"""Initial data: frames that are labelled together before the loop starts, and their sources."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bnnflow.records.dynamics import Dynamics
from bnnflow.records.guards import Guards
from bnnflow.records.requests import PotentialSpec, SampleRequest
from bnnflow.records.structures import Structure


class SourceKind(StrEnum):
    """How candidates are made from the first frame."""

    MD = "md"
    RATTLED = "rattled"
    STRAINED = "strained"


@dataclass(frozen=True)
class Source:
    """Where some of the candidates come from.

    n_frames: how many; seed: of its own stream; kelvin, n_steps: of Langevin dynamics with the
    foundation model, whose frames are evenly spaced; rattle: std of displacements, by coordinate,
    Å; strain: largest principal strain (its size) of the most strained cell.
    """

    kind: SourceKind
    n_frames: int
    seed: int
    kelvin: float = 0.0
    n_steps: int = 0
    rattle: float = 0.0
    strain: float = 0.0

    @property
    def words(self) -> str:
        """What it is called in messages."""
        if self.kind is SourceKind.MD:
            return f"MD at {self.kelvin:g} K"
        return "rattled copies" if self.kind is SourceKind.RATTLED else "strained cells"


@dataclass(frozen=True)
class Initial:
    """What initial data a run begins with.

    n_labels: besides the first frame; select: "farthest" or "uncertainty".
    """

    n_labels: int
    select: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, eq=False)
class InitialFrame:
    """A frame of the initial data that has no label yet.

    name: of its label folder; origin: its source in words.
    """

    name: str
    structure: Structure
    origin: str


@dataclass(frozen=True, eq=False)
class ExploreRequest:
    """Make the candidates of one source from a structure.

    dynamics: of MD, at the temperature of the source; guards: a frame near their limits is left
    out; energy_std_floor: fixed likelihood std of the energy, eV.
    """

    potential: PotentialSpec
    structure: Structure
    source: Source
    dynamics: Dynamics
    guards: Guards
    energy_std_floor: float


@dataclass(frozen=True, eq=False)
class Explored:
    """Candidates of one source. left_out: how many more a guard stood against; why: which."""

    frames: tuple[Structure, ...]
    left_out: int = 0
    why: str = ""
    seconds: float = 0.0
    host: str = ""


@dataclass(frozen=True, eq=False)
class SelectRequest:
    """Choose at most `n_frames` of the candidates, beside a frame that has a label already.

    prior: what the first update samples, given the label of that frame: the candidates of which
    draws of its prior say the most different things are chosen; None: the farthest ones.
    """

    first: Structure
    candidates: tuple[Structure, ...]
    n_frames: int
    prior: SampleRequest | None = None


@dataclass(frozen=True)
class Selected:
    """Indices of the candidates chosen, in the order in which they were."""

    chosen: tuple[int, ...]
    seconds: float = 0.0
    host: str = ""
