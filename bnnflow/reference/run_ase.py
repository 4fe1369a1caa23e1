"""Calculate one structure with an ASE calculator: `python -m bnnflow.reference.run_ase DIRECTORY`.

The energy is the free energy where the calculator gives one, since that is what its forces are
the gradient of.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import Atoms
from ase.calculators.calculator import SCFError

from bnnflow.records import FloatArray, Structure
from bnnflow.reference.engine_ase import import_calculator
from bnnflow.reference.exchange import STRESS_CONVENTION, Output, calculate


def compute(structure: Structure, settings: Mapping[str, Any], _directory: Path) -> Output:
    """Forces, energy and, for a structure periodic in all directions, stress if there is one."""
    calculator = build_calculator(structure, settings)
    atoms = structure.to_atoms()
    atoms.calc = calculator
    try:
        forces = np.asarray(atoms.get_forces(), dtype=np.float64)
    except SCFError as error:
        print(f"SCF not converged: {error}")
        return _unconverged(structure, settings)
    # Before anything else is asked: a calculator that had another geometry calculates once more.
    back = _structure_of(calculator, atoms, structure)
    energy, kind = _energy(atoms)
    stress = _stress(atoms)
    return Output(
        structure=back,
        energy=energy,
        forces=forces,
        stress=stress,
        converged=_reported_convergence(calculator),
        details=_details(settings) | {"energy_kind": kind} | _stress_details(stress),
    )


def build_calculator(structure: Structure, settings: Mapping[str, Any]) -> Any:
    """The calculator, told of charge and multiplicity where it has arguments for them."""
    arguments = dict(settings["arguments"])
    if settings["charge_argument"]:
        arguments[settings["charge_argument"]] = structure.charge
    if settings["multiplicity_argument"]:
        arguments[settings["multiplicity_argument"]] = structure.multiplicity
    return import_calculator(settings["calculator"])(**arguments)


def _energy(atoms: Atoms) -> tuple[float, str]:
    kind = "free_energy" if "free_energy" in atoms.calc.results else "energy"
    return float(atoms.calc.get_property(kind, atoms)), kind


def _stress(atoms: Atoms) -> FloatArray | None:
    if not atoms.pbc.all() or "stress" not in atoms.calc.implemented_properties:
        return None
    return np.asarray(atoms.get_stress(voigt=True), dtype=np.float64)


def _structure_of(calculator: Any, atoms: Atoms, sent: Structure) -> Structure:
    """The geometry the results belong to: the calculator's own atoms, where it keeps them."""
    own = getattr(calculator, "atoms", None)
    back = own if isinstance(own, Atoms) else atoms
    return Structure.from_atoms(back, charge=sent.charge, multiplicity=sent.multiplicity)


def _reported_convergence(calculator: Any) -> bool | None:
    """What the calculator says of its convergence (as ASE's Vasp does), None when it is silent."""
    converged = getattr(calculator, "converged", None)
    return bool(converged) if isinstance(converged, (bool, np.bool_)) else None


def _unconverged(structure: Structure, settings: Mapping[str, Any]) -> Output:
    forces = np.full_like(structure.positions, np.nan)
    return Output(structure, float("nan"), forces, None, False, _details(settings))


def _details(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": settings["calculator"], "ase_version": ase.__version__}


def _stress_details(stress: FloatArray | None) -> dict[str, str]:
    return {} if stress is None else {"stress_convention": STRESS_CONVENTION}


if __name__ == "__main__":
    calculate(compute, Path(sys.argv[1]))
