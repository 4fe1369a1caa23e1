"""What the stand-in calculates with: GFN1-xTB, or Lennard-Jones where that cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.units import Bohr, Hartree, kB

from .job import Job

SMALLEST_HEIGHT = 8.5
"""Å; GFN1-xTB sees Gamma only, so thinner cells get Lennard-Jones."""
LARGEST = 40
"""Atoms; more get Lennard-Jones, for speed."""


@dataclass
class Solution:
    """energies: of every electronic step, eV, with entropy; entropy: T S, eV; forces: (n, 3) eV/Å;
    stress: (3, 3) eV/Å³, positive under tension; levels, filling: of every band, eV and 0 to 1."""

    energies: list[float]
    converged: bool
    entropy: float
    forces: np.ndarray
    stress: np.ndarray
    levels: np.ndarray
    filling: np.ndarray
    fermi: float
    moments: np.ndarray
    changes: list[float] = field(default_factory=list)


def solve(job: Job, *, may_converge: bool, warm: bool) -> Solution:
    """Solve a job. warm: whether it starts from the orbitals of a neighbouring geometry."""
    heights = job.atoms.get_volume() / np.linalg.norm(
        np.cross(job.atoms.cell[[1, 2, 0]], job.atoms.cell[[2, 0, 1]]), axis=1
    )
    molecular = heights.min() >= SMALLEST_HEIGHT and len(job.atoms) <= LARGEST
    found = _tight_binding(job) if molecular else _pair_potential(job)
    return _stopped(found, job, may_converge=may_converge, warm=warm)


def _stopped(found: Solution, job: Job, *, may_converge: bool, warm: bool) -> Solution:
    """The loop as VASP would end it: when changes are below EDIFF, or after NELM steps."""
    ediff, nelm = job.number("EDIFF", 1e-4), int(job.number("NELM", 60))
    energies = found.energies[len(found.energies) // 2 :] if warm else found.energies
    changes = np.diff(energies, prepend=0.0)
    small = [step for step in range(1, len(energies)) if abs(changes[step]) < ediff]
    needed = (small[0] if small else len(energies) - 1) + 1
    if may_converge and needed <= nelm:
        found.energies = [*energies[: needed - 1], found.energies[-1]]
        found.converged = True
    else:
        steps = np.arange(nelm)
        found.energies = list(found.energies[-1] + 10 * ediff * (1.0 + (-1.0) ** steps))
        found.converged = False
    found.changes = list(np.diff(found.energies, prepend=0.0))
    return found


def _tight_binding(job: Job) -> Solution:
    from tblite.interface import Calculator

    log: list[str] = []
    atoms, charge = job.atoms, job.neutral - job.n_electrons
    unpaired = int(job.number("NUPDOWN", round(job.n_electrons) % 2 if job.polarised else 0))
    calculator = Calculator(
        "GFN1-xTB",
        atoms.numbers,
        atoms.positions / Bohr,
        charge,
        unpaired,
        atoms.cell.array / Bohr,
        np.ones(3, dtype=bool),
        color=False,
        logger=log.append,
    )
    temperature = job.number("SIGMA", 0.2) if job.number("ISMEAR", 1) >= -1 else 300.0 * kB
    calculator.set("accuracy", 0.01)
    calculator.set("max-iter", 1000)
    calculator.set("mixer-damping", job.number("AMIX", 0.4))
    calculator.set("temperature", temperature / Hartree)
    result = calculator.singlepoint()
    filling = np.clip(np.atleast_2d(result.get("orbital-occupations")).sum(axis=0) / 2, 0.0, 1.0)
    levels = np.atleast_2d(result.get("orbital-energies"))[0] * Hartree
    energy = float(result.get("energy")) * Hartree
    virial = np.asarray(result.get("virial")) * Hartree
    cycles = [float(line.split()[1]) * Hartree for line in log if _is_cycle(line)]
    return Solution(
        energies=[*cycles, energy],
        converged=True,
        entropy=temperature * _entropy(filling),
        forces=-np.asarray(result.get("gradient")) * Hartree / Bohr,
        stress=virial / abs(np.linalg.det(atoms.cell.array)),
        levels=levels,
        filling=filling,
        fermi=_fermi(levels, filling),
        moments=_moments(job, float(unpaired)),
    )


def _is_cycle(line: str) -> bool:
    words = line.split()
    return len(words) == 4 and words[0].isdigit()


def _pair_potential(job: Job) -> Solution:
    """No electrons: the electronic steps are a made-up approach to the energy."""
    from ase.calculators.lj import LennardJones  # it imports scipy, which takes longer than it

    atoms = Atoms(job.atoms.numbers, job.atoms.positions, cell=job.atoms.cell, pbc=True)
    sigma = 2 ** (5 / 6) * covalent_radii[sorted(set(atoms.numbers))].min()
    atoms.calc = LennardJones(sigma=sigma, epsilon=0.1, rc=5.0, ro=4.0, smooth=True)
    energy = float(atoms.get_potential_energy())
    n_bands = int(job.n_electrons / 2 + len(atoms) / 2) + 1
    filling = (np.arange(n_bands) < job.n_electrons / 2).astype(float)
    levels = np.linspace(-10.0, 5.0, n_bands)
    unpaired = job.number("NUPDOWN", float("nan"))
    return Solution(
        energies=[energy + 10.0 * 0.1**step for step in range(12)] + [energy],
        converged=True,
        entropy=0.0,
        forces=atoms.get_forces(),
        stress=atoms.get_stress(voigt=False),
        levels=levels,
        filling=filling,
        fermi=_fermi(levels, filling),
        moments=_moments(job, unpaired),
    )


def _moments(job: Job, unpaired: float) -> np.ndarray:
    """The starting moments, scaled to the fixed total where there is one."""
    if not job.polarised:
        return np.zeros(len(job.atoms))
    start = np.array(job.list("MAGMOM", len(job.atoms), 1.0))
    if np.isnan(unpaired):
        return start
    total = start.sum()
    return start * unpaired / total if total else np.full(len(start), unpaired / len(start))


def _entropy(filling: np.ndarray) -> float:
    """S / k of both spins."""
    inside = filling[(filling > 1e-12) & (filling < 1 - 1e-12)]
    return float(-2 * (inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum())


def _fermi(levels: np.ndarray, filling: np.ndarray) -> float:
    occupied = np.flatnonzero(filling > 0.5)
    highest = int(occupied.max()) if len(occupied) else 0
    return float(levels[highest : highest + 2].mean())
