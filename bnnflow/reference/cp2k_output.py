"""CP2K's printout: energy, forces, stress, and the geometry they belong to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.cell import Cell
from ase.data import atomic_numbers

from bnnflow.records import Failure, FailureCause, FloatArray, Label, Structure
from bnnflow.reference.checks import GEOMETRY_TOLERANCE, failed, verify
from bnnflow.reference.evidence import LOG
from bnnflow.reference.exchange import STRESS_CONVENTION
from bnnflow.reference.periodic import NO_SMEARING
from bnnflow.reference.room import ran_out_of
from bnnflow.units import BOHR, GPA, HARTREE, voigt_from_tensor

if TYPE_CHECKING:
    from bnnflow.reference.engine_cp2k import CP2KReference

_NUMBER = r"(-?\d+\.\d+(?:E[-+]\d+)?)"
_ENERGY = re.compile(rf"ENERGY\| Total FORCE_EVAL \( QS \) energy \[a\.u\.\]:\s+{_NUMBER}")
_FORCE = re.compile(rf"\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}$")
_STRESS = re.compile(rf" STRESS\|\s+[xyz]\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}")
_ATOM = re.compile(rf"\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}")
_LENGTH = re.compile(rf"CELL\| Vector [abc] \[angstrom\]:.*\|[abc]\| =\s+{_NUMBER}")
_ANGLE = re.compile(rf"CELL\| Angle .*\[degree\]:\s+{_NUMBER}")
_STEPS = re.compile(r"SCF run converged in\s+(\d+) steps")
_TOTAL_STEPS = re.compile(r"outer SCF loop converged in\s+\d+ iterations or\s+(\d+) steps")
_ABORT = re.compile(r"\[ABORT\].*?\n(.*?)\n \*{20}", re.DOTALL)

_WRONG_INPUT = ("not found", "unknown", "invalid", "input", "required", "does not exist")


def explain_cp2k(directory: Path) -> Failure | None:
    """Why CP2K stopped, from its printout; None when it does not say."""
    text = _printout(directory)
    found = _ABORT.search(text)
    if found is None:
        return None
    # the message stands in a frame, to the right of a drawing, above the name of a source file
    framed = " ".join(line[12:].rstrip("* ") for line in found.group(1).splitlines())
    message = " ".join(re.sub(r"\S+\.F:\d+", "", framed).split())
    if "not converged" in message.lower():
        return failed(FailureCause.NOT_CONVERGED, f"CP2K stopped: {message}")
    wrong = any(word in message.lower() for word in _WRONG_INPUT)
    cause = FailureCause.BAD_INPUT if wrong else ran_out_of(message) or FailureCause.CRASHED
    return failed(cause, f"CP2K stopped: {message}")


def read_cp2k(settings: CP2KReference, structure: Structure, directory: Path) -> Label | Failure:
    """The label of a finished calculation; missing, unconverged and foreign ones are Failures."""
    text = _printout(directory)
    if "SCF run NOT converged" in text:
        message = f"the SCF did not converge in {settings.max_steps} iterations"
        return failed(FailureCause.NOT_CONVERGED, message)
    energy, steps = _ENERGY.search(text), _STEPS.search(text)
    forces = _table(text, "ATOMIC FORCES in [a.u.]", _FORCE)
    stress = _table(text, "STRESS| Analytical stress tensor [GPa]", _STRESS)[:3]
    wants_stress = bool(structure.pbc.all())
    if energy is None or steps is None or not forces or (wants_stress and len(stress) < 3):
        message = "CP2K ended without energy, forces, stress and 'SCF run converged' in its output"
        return failed(FailureCause.CRASHED, message)
    label = Label(
        structure=_structure(settings, structure, text),
        energy=float(energy.group(1)) * HARTREE,
        forces=_values([row[1:] for row in forces]) * HARTREE / BOHR,
        # CP2K's stress is positive under pressure, ours under tension
        stress=-voigt_from_tensor(_values(stress)) * GPA if wants_stress else None,
        level=settings.level,
        directory=str(directory),
        seconds=0.0,
        host="",
        details=_details(settings, structure, text),
    )
    return verify(structure, label)


def _structure(settings: CP2KReference, sent: Structure, text: str) -> Structure:
    """As printed: six digits of positions, lengths and angles; the cell's own axes are not."""
    atoms = _table(text, "ATOMIC COORDINATES IN ANGSTROM", _ATOM)
    printed = [float(found) for found in (*_LENGTH.findall(text)[:3], *_ANGLE.findall(text)[:3])]
    expected = settings.cell(sent)
    wanted = Cell(expected).cellpar()
    same = len(printed) == 6 and np.abs(np.array(printed) - wanted).max() <= GEOMETRY_TOLERANCE
    return settings.returned(
        sent,
        numbers=np.array([atomic_numbers[row[0]] for row in atoms], dtype=np.int64),
        positions=_values([row[1:] for row in atoms]).reshape(-1, 3),
        cell=expected if same else np.full((3, 3), np.nan),
    )


def _details(settings: CP2KReference, structure: Structure, text: str) -> dict[str, Any]:
    version = re.search(r"CP2K\| version string:\s+CP2K version (\S+)", text)
    steps = _TOTAL_STEPS.search(text) or _STEPS.search(text)
    integrated = re.search(rf"Integrated absolute spin density\s*:\s+{_NUMBER}", text)
    points = re.search(r"BRILLOUIN\| List of Kpoints.*?(\d+)$", text, re.MULTILINE)
    smeared = settings.smearing != NO_SMEARING
    details: dict[str, Any] = {
        "code": "CP2K",
        "version": version.group(1) if version else "",
        "converged": True,
        "iterations": int(steps.group(1)) if steps else None,
        "energy_kind": "free energy, -TS included" if smeared else "total energy",
        "k_points": str(settings.mesh(structure)),
        "n_k_points": int(points.group(1)) if points else 1,
        "spin_polarized": settings.polarized(structure),
        "absolute_magnetization": float(integrated.group(1)) if integrated else 0.0,
        "charge": structure.charge,
        "basis_and_pseudopotential": {
            symbol: list(names) for symbol, names in settings.kinds(structure).items()
        },
        "warnings": re.findall(r"\*\*\* WARNING in \S+ :: (.*?) \*\*\*", text),
    }
    if structure.pbc.all():
        details["stress_convention"] = STRESS_CONVENTION
    if not structure.pbc.any():
        details["box_A"] = settings.box_A
    return details


def _table(text: str, title: str, row: re.Pattern[str]) -> list[tuple[str, ...]]:
    """The rows that follow the last line with this title, as long as they do."""
    start = text.rfind(title)
    if start < 0:
        return []
    found: list[tuple[str, ...]] = []
    for line in text[start:].splitlines()[1:]:
        match = row.match(line.rstrip())
        if match is None and found:
            break
        if match is not None:
            found.append(match.groups())
    return found


def _values(rows: list[tuple[str, ...]]) -> FloatArray:
    return np.array([[float(value) for value in row] for row in rows], dtype=np.float64)


def _printout(directory: Path) -> str:
    path = directory / LOG
    return path.read_text(errors="replace") if path.is_file() else ""
