"""What the shipped model is worth: errors on labelled frames, and MD that has to stay stable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray

from bnnflow.potentials.mace_files import load_mace
from bnnflow.units import FS, KCAL_PER_MOL

__all__ = ["Errors", "Stability", "calculator", "errors", "stability"]

TIMESTEP_FS = 0.5


@dataclass(frozen=True)
class Errors:
    """Errors of one set of frames.

    Energies in kcal/mol, the mean error of each molecule removed; force components in kcal/mol/Å.
    """

    frames: int
    energy_rmse: float
    energy_mae: float
    force_rmse: float
    force_mae: float


@dataclass(frozen=True)
class Stability:
    """A stretch of MD: length in ps, mean temperature in K, extreme bonds over relaxed ones."""

    length_ps: float
    mean_temperature_k: float
    shortest_bond: float
    longest_bond: float


def calculator(path: Path, dtype: str = "float32") -> Calculator:
    """Return mace-torch's calculator of a model that `save_mace` wrote."""
    from mace.calculators import MACECalculator

    return MACECalculator(models=[load_mace(path)], device="cpu", default_dtype=dtype)


def errors(model: Calculator, frames: Iterable[Atoms]) -> Errors:
    """Return the errors on frames that carry `REF_energy`, eV, and `REF_forces`, eV/Å."""
    energies: dict[str, list[float]] = {}
    forces = []
    for frame in frames:
        energy, force = _difference(model, frame)
        energies.setdefault(frame.info["molecule"], []).append(energy)
        forces.append(force.ravel())
    centred = [np.array(values) - np.mean(values) for values in energies.values()]
    return _summary(np.concatenate(centred), np.concatenate(forces))


def _difference(model: Calculator, frame: Atoms) -> tuple[float, NDArray[np.float64]]:
    atoms = Atoms(frame.numbers, positions=frame.positions, calculator=model)
    energy = atoms.get_potential_energy() - frame.info["REF_energy"]
    forces = atoms.get_forces() - frame.arrays["REF_forces"]
    return float(energy) / KCAL_PER_MOL, forces / KCAL_PER_MOL


def _summary(energy: NDArray[np.float64], force: NDArray[np.float64]) -> Errors:
    return Errors(len(energy), _rms(energy), _mean(energy), _rms(force), _mean(force))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(values)))


def stability(
    model: Calculator, start: Atoms, length_ps: float, temperature_k: float, seed: int
) -> Stability:
    """Run Langevin MD (0.5 fs, 0.01/fs) from the relaxed `start`; watch bonds and temperature."""
    atoms = Atoms(start.numbers, positions=start.positions, calculator=model)
    dynamics = _langevin(atoms, temperature_k, np.random.default_rng(seed))
    pairs = _bonded_pairs(start)
    relaxed = _lengths(start, pairs)
    temperatures, ratios = [], []
    for _ in dynamics.irun(round(length_ps * 1000 / TIMESTEP_FS)):
        temperatures.append(atoms.get_temperature())
        ratios.append(_lengths(atoms, pairs) / relaxed)
    low, high = float(np.min(ratios)), float(np.max(ratios))
    return Stability(length_ps, float(np.mean(temperatures)), low, high)


def _langevin(atoms: Atoms, temperature_k: float, rng: np.random.Generator) -> Langevin:
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_k, rng=rng)
    return Langevin(
        atoms,
        TIMESTEP_FS * FS,
        temperature_K=temperature_k,
        friction=0.01 / FS,
        rng=rng,
        fixcm=False,
    )


def _bonded_pairs(atoms: Atoms) -> NDArray[np.int64]:
    """Return the bonded pairs (n_bonds, 2), by covalent radii."""
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.15))
    return np.asarray(np.stack([first, second], axis=1)[first < second])


def _lengths(atoms: Atoms, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    ends = atoms.positions[pairs]
    return np.asarray(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1))
