"""Calculate one structure with tblite: `python -m bnnflow.reference.run_tblite DIRECTORY`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tblite.exceptions import TBLiteRuntimeError
from tblite.interface import Calculator, Result

from bnnflow.records import FloatArray, Structure
from bnnflow.reference.exchange import STRESS_CONVENTION, Output, calculate
from bnnflow.units import BOHR, HARTREE, KB, voigt_from_tensor


def compute(structure: Structure, settings: Mapping[str, Any], directory: Path) -> Output:
    """One self-consistent calculation from atomic densities; its log goes to `tblite.log`."""
    with (directory / "tblite.log").open("w") as log:
        calculator = build_calculator(structure, settings, lambda line: log.write(line + "\n"))
        try:
            result = calculator.singlepoint()
        except TBLiteRuntimeError as error:
            if "not converged" not in str(error):
                raise
            return _unconverged(structure, settings)
    return _converged(structure, settings, result)


def build_calculator(structure: Structure, settings: Mapping[str, Any], logger: Any) -> Calculator:
    """A tblite calculator with nothing in it from an earlier structure."""
    periodic = bool(structure.pbc.any())
    calculator = Calculator(
        settings["method"],
        structure.numbers,
        structure.positions / BOHR,
        float(structure.charge),
        structure.multiplicity - 1,
        structure.cell / BOHR if periodic else None,
        structure.pbc if periodic else None,
        color=False,
        logger=logger,
    )
    calculator.set("accuracy", settings["accuracy"])
    calculator.set("max-iter", settings["max_iterations"])
    calculator.set("mixer-damping", settings["mixer_damping"])
    calculator.set("temperature", settings["electronic_temperature_K"] * KB / HARTREE)
    return calculator


def _converged(structure: Structure, settings: Mapping[str, Any], result: Result) -> Output:
    return Output(
        structure=structure,
        energy=float(result.get("energy")) * HARTREE,
        forces=-np.asarray(result.get("gradient"), dtype=np.float64) * HARTREE / BOHR,
        stress=_stress(structure, result),
        converged=True,
        details=_details(structure, settings),
    )


def _unconverged(structure: Structure, settings: Mapping[str, Any]) -> Output:
    details = _details(structure, settings) | {"iterations": settings["max_iterations"]}
    forces = np.full_like(structure.positions, np.nan)
    return Output(structure, float("nan"), forces, None, converged=False, details=details)


def _stress(structure: Structure, result: Result) -> FloatArray | None:
    if not structure.pbc.all():
        return None
    volume = abs(float(np.linalg.det(structure.cell)))
    return voigt_from_tensor(np.asarray(result.get("virial")) * HARTREE / volume)


def _details(structure: Structure, settings: Mapping[str, Any]) -> dict[str, Any]:
    details = {
        "code": "tblite",
        "version": version("tblite"),
        "unpaired_electrons": structure.multiplicity - 1,
        "start": "superposition of atomic densities (sad)",
        "electronic_temperature_K": settings["electronic_temperature_K"],
    }
    if structure.pbc.all():
        details |= {"stress_convention": STRESS_CONVENTION, "k_points": "Gamma only"}
    return details


if __name__ == "__main__":
    calculate(compute, Path(sys.argv[1]))
