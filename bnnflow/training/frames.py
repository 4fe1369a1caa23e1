"""Frames for the shipped foundation model: Langevin MD of small molecules, labelled with GFN2-xTB.

Every trajectory draws its random numbers from its own stream, derived from one seed, the molecule's
name and the temperature, so that adding a molecule does not change the frames of the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.optimize import BFGS
from scipy.sparse.csgraph import minimum_spanning_tree

from bnnflow.errors import FaultError
from bnnflow.training.molecules import ALCOHOLS, Recipe

__all__ = ["Plan", "gfn2", "is_whole", "largest_gap", "relaxed", "sample", "split", "write_frames"]

MAX_STRETCH = 1.6  # largest gap of a kept frame over that of the relaxed molecule
MAX_STARTS = 50  # of one trajectory


@dataclass(frozen=True)
class Plan:
    """How the frames are made; temperatures in K, times in fs, friction in 1/fs."""

    temperatures_k: tuple[float, ...] = (300.0, 600.0, 1000.0)
    frames_per_trajectory: int = 20
    alcohol_factor: int = 2  # alcohols give this many times as many frames
    timestep_fs: float = 1.0
    spacing_fs: float = 40.0
    equilibration_fs: float = 200.0
    friction_per_fs: float = 0.02
    seed: int = 2026

    def count(self, recipe: Recipe) -> int:
        """Return the frames wanted of each trajectory of this molecule."""
        return self.frames_per_trajectory * (self.alcohol_factor if recipe.name in ALCOHOLS else 1)


def gfn2() -> Calculator:
    """Return a fresh GFN2-xTB calculator."""
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0)


def relaxed(atoms: Atoms, fmax: float = 0.02) -> Atoms:
    """Return a copy relaxed with GFN2-xTB until no force exceeds `fmax`, eV/Å."""
    result = atoms.copy()
    result.calc = gfn2()
    BFGS(result, logfile=None).run(fmax=fmax, steps=300)
    return result


def largest_gap(atoms: Atoms) -> float:
    """Return the longest edge, Å, of the shortest tree that connects all atoms."""
    return float(minimum_spanning_tree(atoms.get_all_distances()).max())


def is_whole(atoms: Atoms, reference: Atoms) -> bool:
    """Say whether no bond broke, and no partner left, since the relaxed `reference`."""
    return largest_gap(atoms) <= MAX_STRETCH * largest_gap(reference)


def trajectory(start: Atoms, temperature_k: float, plan: Plan, seed: int) -> Iterator[Atoms]:
    """Yield labelled frames of long MD; it begins anew from `start` when a fragment leaves."""
    rng = np.random.default_rng(seed)
    for _ in range(MAX_STARTS):
        yield from _until_broken(start, temperature_k, plan, rng)


def _until_broken(
    start: Atoms, temperature_k: float, plan: Plan, rng: np.random.Generator
) -> Iterator[Atoms]:
    atoms, dynamics = _prepared(start, temperature_k, plan, rng)
    try:
        dynamics.run(round(plan.equilibration_fs / plan.timestep_fs))
        while is_whole(atoms, start):
            yield labelled(atoms)
            dynamics.run(round(plan.spacing_fs / plan.timestep_fs))
    except CalculationFailed:
        return


def _prepared(
    start: Atoms, temperature_k: float, plan: Plan, rng: np.random.Generator
) -> tuple[Atoms, Langevin]:
    atoms = start.copy()
    atoms.calc = gfn2()
    # Half of a relaxed molecule's kinetic energy soon becomes potential: start with twice it.
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature_k, rng=rng)
    Stationary(atoms)
    return atoms, Langevin(
        atoms,
        plan.timestep_fs * units.fs,
        temperature_K=temperature_k,
        friction=plan.friction_per_fs / units.fs,
        fixcm=False,
        rng=rng,
    )


def labelled(atoms: Atoms) -> Atoms:
    """Return a bare copy with its energy, eV, and forces, eV/Å, under the keys MACE reads."""
    frame = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions)
    frame.info["REF_energy"] = float(atoms.get_potential_energy())
    frame.arrays["REF_forces"] = atoms.get_forces()
    return frame


def sample(recipes: Iterable[Recipe], plan: Plan) -> list[list[Atoms]]:
    """Return one list of frames for each molecule and temperature."""
    return [
        _named(recipe, temperature_k, plan)
        for recipe in recipes
        for temperature_k in plan.temperatures_k
    ]


def _named(recipe: Recipe, temperature_k: float, plan: Plan) -> list[Atoms]:
    seed = derived_seed(plan.seed, f"{recipe.name}/{temperature_k:g}")
    endless = trajectory(relaxed(recipe.build()), temperature_k, plan, seed)
    frames = list(islice(endless, plan.count(recipe)))
    if len(frames) < plan.count(recipe):
        raise FaultError(f"{recipe.name} keeps falling apart at {temperature_k:g} K: lower it")
    for frame in frames:
        frame.info.update(molecule=recipe.name.replace(" ", "-"), temperature_K=temperature_k)
    return frames


def derived_seed(seed: int, name: str) -> int:
    """Return the seed of the stream that belongs to `name`."""
    words = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)
    return int(words[0])


def split(trajectories: list[list[Atoms]], every: int = 20) -> tuple[list[Atoms], list[Atoms]]:
    """Return training and validation frames: the last of each `every` frames is for validation."""
    training = [f for frames in trajectories for i, f in enumerate(frames) if (i + 1) % every]
    validation = [f for frames in trajectories for f in frames[every - 1 :: every]]
    return training, validation


def write_frames(path: Path, frames: list[Atoms]) -> None:
    """Write frames as extended XYZ with MACE's keys."""
    write(path, frames, format="extxyz")
