"""Calculate one molecule with PySCF: `python -m bnnflow.reference.run_pyscf DIRECTORY`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyscf
from pyscf import dft, gto, scf

from bnnflow.records import FloatArray, Structure
from bnnflow.reference.exchange import Output, calculate
from bnnflow.units import BOHR, HARTREE


def compute(structure: Structure, settings: Mapping[str, Any], directory: Path) -> Output:
    """Converge the SCF from atomic densities, then take the gradient."""
    molecule = build_molecule(structure, settings, directory)
    field = build_field(molecule, settings)
    energy = _solve(field)
    forces = _forces(field, settings) if field.converged else np.full((molecule.natm, 3), np.nan)
    return Output(
        structure=_structure_of(molecule),
        energy=float(energy) * HARTREE,
        forces=forces,
        stress=None,
        converged=bool(field.converged),
        details=_details(field, settings),
    )


def build_molecule(structure: Structure, settings: Mapping[str, Any], directory: Path) -> gto.Mole:
    """A PySCF molecule, with the core potentials that belong to the basis (heavy elements)."""
    positions = structure.positions / BOHR
    molecule = gto.Mole(
        atom=[(int(z), tuple(r)) for z, r in zip(structure.numbers, positions, strict=True)],
        unit="Bohr",
        basis=settings["basis"],
        charge=structure.charge,
        spin=structure.multiplicity - 1,
        max_memory=settings["max_memory_mb"],
        verbose=4,
        output=str(directory / "pyscf.log"),
    )
    symbols = {gto.elements.ELEMENTS[int(number)] for number in structure.numbers}
    basis = settings["basis"]
    molecule.ecp = {name: basis for name in symbols if gto.basis.load_ecp(basis, name)}
    return molecule.build(dump_input=False, parse_arg=False)


def build_field(molecule: gto.Mole, settings: Mapping[str, Any]) -> scf.hf.SCF:
    """The mean field: HF or Kohn-Sham, restricted only for multiplicity 1."""
    restricted = molecule.spin == 0
    if settings["method"].upper() == "HF":
        field = scf.RHF(molecule) if restricted else scf.UHF(molecule)
    else:
        field = dft.RKS(molecule) if restricted else dft.UKS(molecule)
        field.xc = settings["method"]
        field.grids.level = settings["grid_level"]
    field = field.density_fit() if settings["density_fit"] else field
    field.conv_tol = settings["conv_tol"]
    field.max_cycle = settings["max_cycle"]
    field.level_shift = settings["level_shift_Ha"]
    field.init_guess = "minao"
    field.chkfile = None
    return field.newton() if settings["second_order"] else field


def _solve(field: scf.hf.SCF) -> float:
    """The energy; the second-order solver counts its own cycles and starts as the other does."""
    return float(field.kernel(dm0=field.get_init_guess(field.mol, field.init_guess)))


def _forces(field: scf.hf.SCF, settings: Mapping[str, Any]) -> FloatArray:
    gradient = field.nuc_grad_method()
    if hasattr(gradient, "grid_response"):
        gradient.grid_response = settings["grid_response"]
    return -np.asarray(gradient.kernel(), dtype=np.float64) * HARTREE / BOHR


def _structure_of(molecule: gto.Mole) -> Structure:
    """The geometry PySCF calculated, read back from its own molecule."""
    charges = [gto.charge(molecule.atom_symbol(index)) for index in range(molecule.natm)]
    return Structure(
        numbers=np.array(charges, dtype=np.int64),
        positions=molecule.atom_coords(unit="Bohr") * BOHR,
        charge=int(molecule.charge),
        multiplicity=int(molecule.spin) + 1,
    )


def _details(field: scf.hf.SCF, settings: Mapping[str, Any]) -> dict[str, Any]:
    unrestricted = isinstance(field, scf.uhf.UHF)
    details = {
        "code": "PySCF",
        "version": pyscf.__version__,
        "iterations": int(field.cycles),
        "unrestricted": unrestricted,
        "start": "superposition of atomic densities (minao)",
        "core_potentials": sorted(field.mol.ecp),
    }
    if isinstance(field, dft.rks.KohnShamDFT):
        details["gradient_includes_grid_response"] = settings["grid_response"]
        details["libxc"] = [int(part) for part, _ in dft.libxc.parse_xc(field.xc)[1]]
    return details | ({"spin_square": float(field.spin_square()[0])} if unrestricted else {})


if __name__ == "__main__":
    calculate(compute, Path(sys.argv[1]))
