"""Structures, labels of them, predictions for them, and decisions about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnflow.errors import StructureError
from bnnflow.records.forces import ForceVerdict

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell, with the electronic state a reference code needs.

    numbers: (n_atoms,) atomic numbers; positions: (n_atoms, 3) Å; cell: (3, 3) Å, one vector per
    row; pbc: (3,) periodic directions; charge: total charge in e; multiplicity: 2S + 1.
    """

    numbers: IntArray
    positions: FloatArray
    cell: FloatArray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(3, dtype=bool))
    charge: int = 0
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if self.numbers.ndim != 1 or self.positions.shape != (len(self.numbers), 3):
            raise StructureError(
                f"positions have shape {self.positions.shape}, expected ({len(self.numbers)}, 3): "
                "give one row of x, y, z in Å per atom"
            )

    @classmethod
    def from_atoms(cls, atoms: Atoms, *, charge: int = 0, multiplicity: int = 1) -> Structure:
        """Take numbers, positions, cell and pbc from ASE atoms."""
        return cls(
            numbers=np.asarray(atoms.numbers, dtype=np.int64).copy(),
            positions=np.asarray(atoms.positions, dtype=np.float64).copy(),
            cell=np.asarray(atoms.cell.array, dtype=np.float64).copy(),
            pbc=np.asarray(atoms.pbc, dtype=bool).copy(),
            charge=charge,
            multiplicity=multiplicity,
        )

    def to_atoms(self) -> Atoms:
        """ASE atoms with the same numbers, positions, cell and pbc."""
        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, eq=False)
class Label:
    """A converged reference calculation of one structure.

    energy: eV, as the code gives it (not shifted); forces: (n_atoms, 3) eV/Å; stress: (6,) eV/Å³
    in Voigt order and ASE's sign, None when the code gives none; level: level of theory in words;
    details: what the code reported (iterations, versions, warnings).
    """

    structure: Structure
    energy: float
    forces: FloatArray
    stress: FloatArray | None
    level: str
    directory: str
    seconds: float
    host: str
    details: Mapping[str, Any] = field(default_factory=dict)


class FailureCause(StrEnum):
    """Why a task gave no result."""

    NOT_CONVERGED = "not_converged"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    WRONG_GEOMETRY = "wrong_geometry"
    NON_FINITE = "non_finite"
    BAD_INPUT = "bad_input"
    OUT_OF_MEMORY = "out_of_memory"
    NO_DISK_SPACE = "no_disk_space"
    EXPLODED = "exploded"


@dataclass(frozen=True)
class Failure:
    """A task that gave no result, with the evidence it left.

    task: label, sample or propagate; message: one line; directory: where the evidence lies.
    """

    task: str
    cause: FailureCause
    message: str
    directory: str = ""
    traceback: str = ""
    seconds: float = 0.0
    host: str = ""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the ensemble says of one structure (METHOD 4).

    energy: eV, mean over the k members, on the foundation model's energy scale; energy_std: total
    std, eV; energy_spread: std between members alone, eV; member_energies: (k,) eV;
    forces, forces_std: (n_atoms, 3) eV/Å; stress, stress_std: (6,) eV/Å³ or None.
    """

    energy: float
    energy_std: float
    energy_spread: float
    member_energies: FloatArray
    forces: FloatArray
    forces_std: FloatArray
    stress: FloatArray | None = None
    stress_std: FloatArray | None = None

    @property
    def finite(self) -> bool:
        """Whether every number is finite."""
        parts: list[Any] = [self.energy, self.energy_std, self.forces, self.forces_std]
        parts += [part for part in (self.stress, self.stress_std) if part is not None]
        return all(bool(np.all(np.isfinite(part))) for part in parts)


class Reason(StrEnum):
    """Why a frame was labelled, or trusted."""

    FIRST_FRAME = "first_frame"
    CERTAIN = "certain"
    UNCERTAIN = "uncertain"
    NON_FINITE_PROBABILITY = "non_finite_probability"
    AUDIT = "audit"
    UNCERTAIN_FORCES = "uncertain_forces"
    GUARD = "guard"
    WITHDRAWN = "withdrawn"
    INITIAL = "initial"


@dataclass(frozen=True)
class Decision:
    """One application of the rule of METHOD 6 to one frame.

    energy_std: sigma*, eV; limit: the largest sigma* that the rule trusts now, eV;
    probability: calibrated P(|energy error| < K); ask: whether a label was asked for; force: what
    the force criterion found, None where a run has none.
    """

    step: int
    time_fs: float
    energy_std: float
    limit: float
    probability: float
    ask: bool
    reason: Reason
    force: ForceVerdict | None = None
