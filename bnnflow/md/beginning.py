"""Where a walker begins: thermal velocities without drift or spin."""

from __future__ import annotations

import numpy as np

from bnnflow.md.integrators import check_dynamics, check_structure
from bnnflow.md.noise import generator_for
from bnnflow.md.schedule import temperature_at
from bnnflow.records import Checkpoint, Dynamics, FloatArray, Structure
from bnnflow.units import KB


def start(structure: Structure, *, dynamics: Dynamics, seed: int) -> Checkpoint:
    """The checkpoint before the first step, with Maxwell-Boltzmann velocities.

    They are drawn at the schedule's first temperature. The drift of the centre of mass is taken
    off, and in a structure without periodic directions its rotation too; what is left is not
    rescaled, so each remaining degree of freedom has its k_B T / 2. The same stream goes on as the
    noise of Langevin dynamics.

    Raises ConfigError for dynamics that cannot be integrated, StructureError for atoms that these
    dynamics cannot move (npt needs a triangular cell, periodic in three directions).
    """
    check_dynamics(dynamics)
    check_structure(structure, dynamics)
    rng = generator_for(seed)
    kelvin = temperature_at(dynamics.temperature_schedule, 0.0)
    masses = structure.to_atoms().get_masses()[:, np.newaxis]
    drawn = rng.standard_normal((len(structure), 3)) * np.sqrt(KB * kelvin / masses)
    velocities = without_drift(drawn, masses)
    if not np.any(structure.pbc):
        velocities = without_rotation(velocities, structure.positions, masses)
    return Checkpoint(
        step=0,
        structure=structure,
        velocities=velocities,
        forcing=None,
        integrator={},
        rng=rng.bit_generator.state,
    )


def without_drift(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """Velocities (n_atoms, 3) with the centre of mass at rest; masses: (n_atoms, 1)."""
    drift = (masses * velocities).sum(axis=0) / masses.sum()
    return np.asarray(velocities - drift)


def without_rotation(
    velocities: FloatArray, positions: FloatArray, masses: FloatArray
) -> FloatArray:
    """Velocities (n_atoms, 3) without angular momentum L about the centre of mass.

    Takes off ω x r with I ω = L. In a linear molecule I has no inverse about its axis, where L
    vanishes too; the pseudo-inverse leaves that axis alone.
    """
    arms = positions - (masses * positions).sum(axis=0) / masses.sum()
    momentum = (masses * np.cross(arms, velocities)).sum(axis=0)
    squares = (masses * arms * arms).sum()
    inertia = squares * np.eye(3) - (masses * arms).T @ arms
    omega = np.linalg.pinv(inertia, rcond=1e-10, hermitian=True) @ momentum
    return np.asarray(velocities - np.cross(omega, arms))
