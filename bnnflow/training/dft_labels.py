"""B3LYP/def2-SVP labels of the ethanol test frames, with PySCF."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read, write

from bnnflow.errors import FaultError
from bnnflow.units import BOHR, HARTREE

__all__ = ["LEVEL", "N_FRAMES", "b3lyp", "b3lyp_frames"]

LEVEL = "B3LYP/def2-SVP, density-fitted"
N_FRAMES = 30
CACHE = "ethanol_b3lyp.extxyz"


def b3lyp(frame: Atoms) -> Atoms:
    """Return a copy of the frame with its B3LYP energy, eV, and forces, eV/Å, under MACE's keys.

    Raises FaultError when the electrons do not converge.
    """
    from pyscf import dft, gto

    atoms = list(zip(frame.get_chemical_symbols(), frame.positions, strict=True))
    method = dft.RKS(gto.M(atom=atoms, basis="def2-svp", verbose=0), xc="b3lyp").density_fit()
    energy = method.kernel()
    if not method.converged:
        raise FaultError("PySCF did not converge: look at the geometry of this frame")
    labelled = Atoms(frame.numbers, positions=frame.positions, info={"molecule": "ethanol"})
    labelled.info["REF_energy"] = float(energy) * HARTREE
    labelled.arrays["REF_forces"] = -method.nuc_grad_method().kernel() * HARTREE / BOHR
    return labelled


def b3lyp_frames(work: Path) -> list[Atoms]:
    """Return `N_FRAMES` of the ethanol frames in `work`, labelled; labels made before are kept."""
    cache = work / CACHE
    if not cache.exists():
        frames = read(work / "ethanol.xyz", ":")
        write(cache, [b3lyp(frame) for frame in frames[:: len(frames) // N_FRAMES]])
    return list(read(cache, ":"))
