"""Guards on a step of MD: how near its temperature, distances and forces come to their limits.

Each quantity is turned into a strain, 1 at its limit. The limits are meant for motion that has lost
its meaning (atoms inside one another, forces that no bond has), not for motion that is rare, so a
healthy run does not come near any; what the ensemble is merely unsure of is not their business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.stats import chi2

from bnnflow.md.distances import close_pairs
from bnnflow.md.integrators import kinetic_temperature
from bnnflow.records import Dynamics, FloatArray, GuardKind, Guards, Prediction, Structure, Trip

CALM = 0.75
"""Largest strain of a frame that is worth a label: beyond, even a reference code has trouble."""
TIMES_HOTTER = 5.0
"""Highest temperature by default, in units of the schedule's highest: a run that starts from a
strained structure heats up by itself."""
COLDEST_LIMIT = 1000.0
"""K; the highest temperature by default is never lower."""
RARE = 1e-12
"""Chance per step of a thermal fluctuation that the default allows for."""


@dataclass(frozen=True)
class Strain:
    """How near a quantity is to its limit. share: 1 at the limit; value, limit: K, Å or eV/Å;
    atoms: that come nearest."""

    guard: GuardKind
    share: float
    value: float
    limit: float
    atoms: tuple[int, ...]


class ExplodedError(Exception):
    """A configuration that a guard forbids; caught where steps are taken.

    prediction: None when nothing was predicted for it.
    """

    def __init__(
        self, strain: Strain, structure: Structure, prediction: Prediction | None = None
    ) -> None:
        """Keep the evidence."""
        super().__init__(f"the {strain.guard} guard forbids this configuration")
        self.strain = strain
        self.structure = structure
        self.prediction = prediction

    def trip(self, step: int) -> Trip:
        """The evidence as a record. step: number of the step that was not taken."""
        found = self.strain
        return Trip(found.guard, step, found.value, found.limit, found.atoms, self.structure)


@dataclass(frozen=True)
class Limits:
    """Guards with numbers for one run of MD. highest_kelvin: instantaneous temperature."""

    distance: float
    force: float
    highest_kelvin: float

    @classmethod
    def of(cls, guards: Guards, dynamics: Dynamics, n_atoms: int) -> Limits:
        """For `n_atoms` atoms under these dynamics."""
        kelvin = guards.temperature_K or default_temperature(dynamics, n_atoms)
        return cls(guards.distance, guards.force_eV_A, kelvin)

    def positions(self, structure: Structure) -> Strain:
        """Of the pair of atoms that is nearest for its elements; share 0 when none is near.

        Raises ExplodedError beyond the limit, or where positions are not finite.
        """
        require_positions(structure)
        return _within(_nearest(structure, self.distance), structure)

    def forces(self, structure: Structure, prediction: Prediction) -> Strain:
        """Of the largest force. Raises ExplodedError beyond the limit."""
        sizes = np.linalg.norm(prediction.forces, axis=1)
        atom = int(sizes.argmax())
        size = float(sizes[atom])
        strain = Strain(GuardKind.FORCE, size / self.force, size, self.force, (atom,))
        return _within(strain, structure, prediction)

    def temperature(self, atoms: Atoms, structure: Structure, prediction: Prediction) -> Strain:
        """Of the kinetic energy; names the atom that has most of it. Raises ExplodedError."""
        momenta = atoms.get_momenta()
        kinetic = 0.5 * (momenta**2).sum(axis=1) / atoms.get_masses()
        kelvin = float(kinetic_temperature(kinetic.sum(), len(atoms)))
        share, hottest = kelvin / self.highest_kelvin, (int(kinetic.argmax()),)
        strain = Strain(GuardKind.TEMPERATURE, share, kelvin, self.highest_kelvin, hottest)
        return _within(strain, structure, prediction)


def default_temperature(dynamics: Dynamics, n_atoms: int) -> float:
    """K that no healthy step reaches: a multiple of the schedule's highest temperature, and that
    of the fluctuation of few atoms that chance allows once in 1/RARE steps.

    The kinetic energy of f degrees of freedom in units of k_B T / 2 is chi-squared with f.
    """
    highest = max(kelvin for _, kelvin in dynamics.temperature_schedule)
    freedom = 3 * n_atoms - 3
    return max(TIMES_HOTTER * highest, COLDEST_LIMIT) * float(chi2.isf(RARE, freedom)) / freedom


def require_positions(structure: Structure) -> None:
    """Raises ExplodedError where positions or cell are not finite."""
    broken = _rows_not_finite(structure.positions)
    if broken or not np.all(np.isfinite(structure.cell)):
        raise ExplodedError(_not_finite(GuardKind.POSITIONS, broken), structure)


def require_finite(structure: Structure, prediction: Prediction) -> None:
    """Raises ExplodedError where a prediction holds a number that is not finite."""
    if not prediction.finite:
        atoms = _rows_not_finite(prediction.forces)
        raise ExplodedError(_not_finite(GuardKind.PREDICTION, atoms), structure, prediction)


def worst(strains: Iterable[Strain]) -> float:
    """The largest share."""
    return max(strain.share for strain in strains)


def _within(strain: Strain, structure: Structure, prediction: Prediction | None = None) -> Strain:
    if not strain.share < 1.0:  # nor when it is not a number
        raise ExplodedError(strain, structure, prediction)
    return strain


def _nearest(structure: Structure, fraction: float) -> Strain:
    radii = covalent_radii[structure.numbers]
    pairs, lengths = close_pairs(structure, 2.0 * float(radii.max()) * fraction / CALM)
    if not len(lengths):
        return Strain(GuardKind.DISTANCE, 0.0, np.inf, 0.0, ())
    limits = fraction * radii[pairs].sum(axis=1)
    with np.errstate(divide="ignore"):  # two atoms at one place are infinitely strained
        shares = limits / lengths
    at = int(shares.argmax())
    atoms = (int(pairs[at, 0]), int(pairs[at, 1]))
    return Strain(
        GuardKind.DISTANCE, float(shares[at]), float(lengths[at]), float(limits[at]), atoms
    )


def _not_finite(guard: GuardKind, atoms: tuple[int, ...]) -> Strain:
    return Strain(guard, np.inf, np.nan, np.nan, atoms)


def _rows_not_finite(values: FloatArray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist())
