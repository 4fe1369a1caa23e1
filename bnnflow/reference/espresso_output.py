"""What pw.x leaves behind: `pwscf.xml` (numbers, in Hartree and Bohr) and its printout."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from bnnflow.errors import ReferenceError
from bnnflow.records import Failure, FailureCause, FloatArray, Label, Structure
from bnnflow.reference.checks import failed, verify
from bnnflow.reference.evidence import LOG
from bnnflow.reference.exchange import STRESS_CONVENTION
from bnnflow.reference.periodic import NO_SMEARING
from bnnflow.reference.room import ran_out_of
from bnnflow.units import BOHR, HARTREE, voigt_from_tensor

if TYPE_CHECKING:
    from bnnflow.reference.engine_espresso import EspressoReference

_XML = "pwscf.xml"
_STOPPED = re.compile(r"convergence NOT achieved after\s+(\d+)")
_CONVERGED = re.compile(r"convergence has been achieved in\s+(\d+)")
_ERROR = re.compile(r"Error in routine\s+(\S+)\s*\(\s*-?\d+\):\s*(.*?)\s*%{10}", re.DOTALL)
_WARNING = re.compile(r"^\s*((?:Warning|Message from routine).*(?:\n.*)?)$", re.MULTILINE)

# Routines in which the iteration breaks down, which another algorithm may survive.
_NUMERICAL = ("c_bands", "cdiaghg", "rdiaghg", "electrons", "efermig", "cegterg", "regterg")


def explain_pw(directory: Path) -> Failure | None:
    """Why pw.x stopped, from its printout; None when it does not say."""
    text = _printout(directory)
    stopped = _STOPPED.search(text)
    if stopped:
        message = f"the SCF did not converge in {stopped.group(1)} iterations"
        return failed(FailureCause.NOT_CONVERGED, message)
    error = _ERROR.search(text)
    if error is None:
        return None
    routine, message = error.group(1), " ".join(error.group(2).split())
    return failed(_cause(routine, message), f"pw.x stopped in {routine}: {message}")


def _cause(routine: str, message: str) -> FailureCause:
    if routine in _NUMERICAL:
        return FailureCause.NOT_CONVERGED
    return ran_out_of(message) or FailureCause.BAD_INPUT


def read_pw(settings: EspressoReference, structure: Structure, directory: Path) -> Label | Failure:
    """The label of a finished calculation; missing, unconverged and foreign ones are Failures."""
    try:
        output = ElementTree.parse(directory / _XML).getroot().find("output")
    except (OSError, ElementTree.ParseError) as error:
        message = f"pw.x ended without a readable {_XML}: {error}"
        return failed(FailureCause.CRASHED, message)
    if output is None:
        return failed(FailureCause.CRASHED, f"{_XML} holds no output")
    if _text(output, "convergence_info/scf_conv/convergence_achieved") != "true":
        steps = _text(output, "convergence_info/scf_conv/n_scf_steps")
        message = f"the SCF did not converge in {steps} iterations"
        return failed(FailureCause.NOT_CONVERGED, message)
    label = Label(
        structure=_structure(settings, structure, output),
        energy=float(_text(output, "total_energy/etot")) * HARTREE,
        forces=_numbers(output, "forces").reshape(-1, 3) * HARTREE / BOHR,
        stress=_stress(output) if structure.pbc.all() else None,
        level=settings.level,
        directory=str(directory),
        seconds=0.0,
        host="",
        details=_details(settings, structure, output, directory),
    )
    return verify(structure, label)


def _structure(
    settings: EspressoReference, sent: Structure, output: ElementTree.Element
) -> Structure:
    atoms = output.findall("atomic_structure/atomic_positions/atom")
    names = [re.match(r"[A-Z][a-z]?", atom.get("name", "")) for atom in atoms]
    positions = [[float(word) for word in (atom.text or "").split()] for atom in atoms]
    cell = [_numbers(output, f"atomic_structure/cell/{name}") for name in ("a1", "a2", "a3")]
    return settings.returned(
        sent,
        numbers=np.array([atomic_numbers[name.group()] if name else 0 for name in names]),
        positions=np.array(positions, dtype=np.float64) * BOHR,
        cell=np.array(cell) * BOHR,
    )


def _stress(output: ElementTree.Element) -> FloatArray:
    """pw.x's stress is positive under pressure, ours under tension."""
    return -voigt_from_tensor(_numbers(output, "stress").reshape(3, 3)) * HARTREE / BOHR**3


def _details(
    settings: EspressoReference,
    structure: Structure,
    output: ElementTree.Element,
    directory: Path,
) -> dict[str, Any]:
    text = _printout(directory)
    version = re.search(r"Program PWSCF v\.(\S+)", text)
    steps = _CONVERGED.search(text)
    smeared = settings.smearing != NO_SMEARING
    return {
        "code": "Quantum ESPRESSO pw.x",
        "version": version.group(1) if version else "",
        "converged": True,
        "iterations": int(steps.group(1)) if steps else None,
        "energy_kind": "free energy, -TS included" if smeared else "total energy",
        "k_points": str(settings.mesh(structure)),
        "n_k_points": int(_text(output, "band_structure/nks")),
        "density_cutoff_eV": float(_text(output, "basis_set/ecutrho")) * HARTREE,
        "spin_polarized": settings.polarized(structure),
        "magnetization": float(_text(output, "magnetization/total")),
        "absolute_magnetization": float(_text(output, "magnetization/absolute")),
        "charge": structure.charge,
        "warnings": [" ".join(found.split()) for found in _WARNING.findall(text)],
        **_more(settings, structure),
    }


def _more(settings: EspressoReference, structure: Structure) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if structure.pbc.all():
        found["stress_convention"] = STRESS_CONVENTION
    if not structure.pbc.any():
        found["box_A"] = settings.box_A
    if structure.charge and settings.assume_isolated == "none":
        found["charge_background"] = "uniform"
    return found


def _printout(directory: Path) -> str:
    path = directory / LOG
    return path.read_text(errors="replace") if path.is_file() else ""


def _text(output: ElementTree.Element, path: str) -> str:
    found = output.find(path)
    if found is None or found.text is None:
        raise ReferenceError(f"{_XML} has no {path}: this version of pw.x is not understood")
    return found.text.strip()


def _numbers(output: ElementTree.Element, path: str) -> FloatArray:
    return np.array([float(word) for word in _text(output, path).split()])
