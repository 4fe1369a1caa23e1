"""Toy potentials as predictors, and a command that drives one in another process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT

from bnnflow import codec
from bnnflow.md import propagate
from bnnflow.records import Checkpoint, Dynamics, Forcing, Prediction, Structure

SPRING = 3.0  # eV/Å²
CERTAIN_STD = 0.01  # eV

DYNAMICS = {
    "langevin": Dynamics(kind="langevin", timestep_fs=1.0, temperature_schedule=((0.0, 300.0),)),
    "verlet": Dynamics(kind="verlet", timestep_fs=1.0, temperature_schedule=((0.0, 300.0),)),
    "npt": Dynamics(
        kind="npt",
        timestep_fs=2.0,
        temperature_schedule=((0.0, 300.0), (50.0, 300.0), (150.0, 500.0)),
        thermostat_time_fs=50.0,
    ),
}
DYNAMICS["langevin then verlet"] = replace(DYNAMICS["verlet"], equilibration_fs=50.0)
DYNAMICS["langevin then npt"] = replace(DYNAMICS["npt"], equilibration_fs=74.0)


def prediction_of(
    energy: float,
    forces: np.ndarray,
    stress: np.ndarray | None = None,
    energy_std: float = CERTAIN_STD,
) -> Prediction:
    return Prediction(
        energy=energy,
        energy_std=energy_std,
        energy_spread=0.5 * energy_std,
        member_energies=np.array([energy - 1.0, energy + 1.0]),
        forces=forces,
        forces_std=np.full_like(forces, 0.1),
        stress=stress,
        stress_std=None if stress is None else np.full(6, 0.01),
    )


def wells(structure: Structure) -> Prediction:
    """Every atom in an isotropic harmonic well of its own, 5 Å from the next."""
    away = structure.positions - well_centres(len(structure))
    return prediction_of(0.5 * SPRING * float(np.sum(away**2)), -SPRING * away)


def well_centres(n_atoms: int) -> np.ndarray:
    return 5.0 * np.arange(n_atoms)[:, np.newaxis] * np.array([1.0, 0.0, 0.0])


def argons(n_atoms: int) -> Structure:
    return Structure(numbers=np.full(n_atoms, 18), positions=well_centres(n_atoms))


def copper_emt(structure: Structure) -> Prediction:
    """EMT, made anew each time, since its neighbour list remembers where the atoms were."""
    atoms = structure.to_atoms()
    atoms.calc = EMT()
    return prediction_of(
        float(atoms.get_potential_energy()), atoms.get_forces(), atoms.get_stress()
    )


def copper() -> Structure:
    return Structure.from_atoms(bulk("Cu", cubic=True, a=3.6))


SYSTEMS: dict[str, tuple[Callable[[], Structure], Callable[[Structure], Prediction]]] = {
    "langevin": (lambda: argons(4), wells),
    "verlet": (lambda: argons(4), wells),
    "npt": (copper, copper_emt),
    "langevin then verlet": (lambda: argons(4), wells),
    "langevin then npt": (copper, copper_emt),
}


class DoubtAt:
    """The predictor given, except that its n-th call is uncertain, or not a number."""

    def __init__(self, predict: Callable[[Structure], Prediction], call: int, energy_std: float):
        self.predict = predict
        self.call = call
        self.energy_std = energy_std
        self.seen: list[Structure] = []

    def __call__(self, structure: Structure) -> Prediction:
        self.seen.append(structure)
        answer = self.predict(structure)
        if len(self.seen) != self.call:
            return answer
        return prediction_of(answer.energy, answer.forces, answer.stress, self.energy_std)


def label_of(structure: Structure, predict: Callable[[Structure], Prediction]) -> Forcing:
    """A reference that is 0.1 eV above the predictor and pulls one atom aside."""
    answer = predict(structure)
    forces = answer.forces.copy()
    forces[0, 0] += 0.3
    forces[1, 0] -= 0.3
    return Forcing(
        positions=structure.positions.copy(),
        energy=answer.energy + 0.1,
        forces=forces,
        stress=answer.stress,
    )


def assert_same_checkpoint(one: Checkpoint, other: Checkpoint) -> None:
    """Bit for bit."""
    assert one.step == other.step
    assert one.rng == other.rng
    np.testing.assert_array_equal(one.structure.positions, other.structure.positions)
    np.testing.assert_array_equal(one.structure.cell, other.structure.cell)
    np.testing.assert_array_equal(one.velocities, other.velocities)
    assert one.forcing is not None and other.forcing is not None
    np.testing.assert_array_equal(one.forcing.forces, other.forcing.forces)
    assert one.forcing.energy == other.forcing.energy
    assert one.integrator.keys() == other.integrator.keys()
    for name, value in one.integrator.items():
        np.testing.assert_array_equal(value, other.integrator[name])


def main(kind: str, begin: str, end: str, n_steps: str) -> None:
    """Go on from the checkpoint in one file, and leave the segment in another."""
    segment = propagate(
        predict=SYSTEMS[kind][1],
        checkpoint=codec.load_record(Path(begin), Checkpoint),
        dynamics=DYNAMICS[kind],
        n_steps=int(n_steps),
        limit=np.inf,
    )
    codec.save_record(Path(end), segment)


if __name__ == "__main__":
    main(*sys.argv[1:])
