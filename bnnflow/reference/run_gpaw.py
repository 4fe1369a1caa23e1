"""Calculate one structure with GPAW: `python run_gpaw.py DIRECTORY`, on any number of MPI ranks.

It needs GPAW alone, so that GPAW may live in an environment of its own: nothing of bnnflow is
imported. `input.json` holds the structure and the settings, `output.json` the result.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("GPAW_MPI_BACKEND", "cgpaw")  # before GPAW is imported, or ranks are refused

import ase
import gpaw
import numpy as np
from ase import Atoms
from gpaw import GPAW, PW, KohnShamConvergenceError
from gpaw.mpi import world

Wanted = Mapping[str, Any]


def build_atoms(wanted: Wanted) -> Atoms:
    """Atoms in a periodic cell, with moments to begin with, Bohr magnetons."""
    return Atoms(
        numbers=wanted["numbers"],
        positions=wanted["positions"],
        cell=wanted["cell"],
        pbc=True,
        magmoms=wanted["moments"],
    )


def build_calculator(wanted: Wanted, log: str) -> Any:
    """A plane-wave calculator."""
    settings = wanted["settings"]
    mixer: dict[str, Any] = {"name": settings["mixer"]}
    if settings["mixing_beta"]:
        mixer["beta"] = settings["mixing_beta"]
    return GPAW(
        mode=PW(settings["cutoff_eV"]),
        xc=settings["functional"],
        kpts=wanted["k_points"],
        charge=wanted["charge"],
        spinpol=wanted["polarized"],
        occupations=wanted["occupations"],
        convergence={
            "energy": settings["conv_energy_eV"],
            "density": settings["conv_density"],
            "forces": settings["conv_forces_eV_per_A"] or np.inf,
        },
        mixer=mixer,
        eigensolver=settings["eigensolver"],
        maxiter=settings["max_steps"],
        setups=settings["setups"],
        parallel={"kpt": settings["pools"]} if settings["pools"] > 1 else {},
        txt=log,
    )


def calculate(wanted: Wanted, log: str) -> dict[str, Any]:
    """Energy, forces and stress in eV and Å, the energy being the one the forces belong to."""
    atoms = build_atoms(wanted)
    atoms.calc = calculator = build_calculator(wanted, log)
    found = {
        "code": "GPAW",
        "version": gpaw.__version__,
        "ase_version": ase.__version__,
        "ranks": world.size,
    }
    try:
        energy = atoms.get_potential_energy(force_consistent=True)
    except KohnShamConvergenceError:
        return found | {"converged": False, "iterations": wanted["settings"]["max_steps"]}
    return found | {
        "converged": True,
        "iterations": int(calculator.get_number_of_iterations()),
        "energy": float(energy),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress(voigt=True).tolist() if wanted["stress"] else None,
        "magnetization": float(atoms.get_magnetic_moment()) if wanted["polarized"] else 0.0,
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "k_points": calculator.get_bz_k_points().tolist(),
        "n_k_points": len(calculator.get_ibz_k_points()),
        "setups": {
            setup.symbol: {"file": Path(setup.filename).name, "fingerprint": setup.fingerprint}
            for setup in calculator.setups.setups.values()
        },
    }


def main(directory: Path) -> None:
    """Read, calculate, and write the result whole or not at all."""
    wanted = json.loads((directory / "input.json").read_text())
    found = calculate(wanted, str(directory / "gpaw.txt"))
    if world.rank == 0:
        part = directory / "output.json.part"
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(directory / "output.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
