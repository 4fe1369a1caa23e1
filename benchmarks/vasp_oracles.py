"""What others read in VASP's files: ASE, pymatgen where it is installed, the plain text itself."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from ase.calculators.vasp import Vasp
from ase.io import read

from bnnflow.reference.vasp import Outcar, Vasprun, read_outcar, read_vasprun


@dataclass(frozen=True)
class Frame:
    """One ionic step: energies eV, forces (n, 3) eV/Å, stress (6,) eV/Å³; None where not given."""

    free_energy: float | None = None
    sigma_0: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    converged: bool | None = None
    electronic_steps: int | None = None
    moments: np.ndarray | None = None


def ours(path: Path) -> tuple[list[Frame], Vasprun | Outcar]:
    """By bnnflow's readers."""
    if is_xml(path):
        run = read_vasprun(path)
        return [
            Frame(s.free_energy, s.energy_sigma_0, s.forces, s.stress, None, len(s.scf_energies))
            for s in run.steps
        ], run
    outcar = read_outcar(path)
    return [
        Frame(
            s.free_energy,
            s.energy_sigma_0,
            s.forces,
            s.stress,
            outcar.converged(s),
            s.electronic_steps,
            s.moments,
        )
        for s in outcar.steps
    ], outcar


def by_ase(path: Path) -> list[Frame]:
    """By ASE's readers; its word on convergence is one for the whole OUTCAR, given to each step."""
    atoms = read(path, ":", format="vasp-xml" if is_xml(path) else "vasp-out")
    converged = None if is_xml(path) else _ase_convergence(path)
    return [
        Frame(
            each.calc.results.get("free_energy"),
            each.calc.results.get("energy"),
            each.calc.results.get("forces"),
            each.calc.results.get("stress"),
            converged,
            None,
            each.calc.results.get("magmoms"),
        )
        for each in atoms
    ]


def _ase_convergence(path: Path) -> bool | None:
    lines = path.read_text(encoding="latin-1").splitlines(keepends=True)
    answer = Vasp().read_convergence(lines)
    return None if answer is None else bool(answer)


def has_pymatgen() -> bool:
    """Whether pymatgen can be compared with."""
    return importlib.util.find_spec("pymatgen") is not None


def by_pymatgen(path: Path) -> list[Frame]:
    """By pymatgen's Vasprun; raises what it raises.

    Its sigma->0 energy of a step is what VASP 5 writes under that name, which is another number.
    """
    from pymatgen.io.vasp import Vasprun as Theirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Theirs(str(path), parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    nelm = run.parameters["NELM"]
    return [
        Frame(
            float(step["e_fr_energy"]),
            None,
            np.array(step["forces"], dtype=float),
            _voigt(np.array(step["stress"], dtype=float)),
            len(step["electronic_steps"]) < nelm,
            len(step["electronic_steps"]),
        )
        for step in run.ionic_steps
    ]


def by_eye(path: Path) -> list[Frame]:
    """From the lines of an OUTCAR that a person would look at; changes of energy decide."""
    text = path.read_text(encoding="latin-1")
    ediff = float(_only(r"EDIFF  = *(\S+) +stopping", text))
    steps = _split_ionic_steps(text)
    return [_frame_by_eye(step, ediff) for step in steps]


def is_xml(path: Path) -> bool:
    """Whether a file is a vasprun.xml."""
    return "vasprun" in path.name


def _frame_by_eye(text: str, ediff: float) -> Frame:
    changes = re.findall(r"total energy-change \(2\. order\) :(.{14}) *\((.{14})\)", text)[-1]
    table = text.partition("TOTAL-FORCE (eV/Angst)")[2].split("-----\n")[1]
    rows = [line.split()[3:6] for line in table.splitlines() if len(line.split()) == 6]
    xx, yy, zz, xy, yz, zx = (float(w) for w in re.findall(r"in kB +(.+)", text)[-1].split())
    moments = text.rpartition("magnetization (x)")[2].splitlines()
    columns = [line.split() for line in moments[:4000] if re.match(r" +\d+ +[-\d.]+ ", line)]
    return Frame(
        free_energy=float(_only(r"free  energy   TOTEN  = +(\S+)", text)),
        sigma_0=float(_only(r"energy  without entropy=.*sigma->0\) = +(\S+)", text)),
        forces=np.array(rows, dtype=float),
        stress=_voigt(np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])),
        converged=all(abs(_number(change)) < ediff for change in changes),
        electronic_steps=text.count("- Iteration "),
        moments=np.array([float(c[-1]) for c in columns[: len(rows)]])
        if "magnetization (x)" in text
        else None,
    )


def _number(text: str) -> float:
    """A number whose exponent may have lost its letter."""
    return float(re.sub(r"(\d)([-+]\d{3})$", r"\1E\2", text.strip()))


def _split_ionic_steps(text: str) -> list[str]:
    starts = [match.start() for match in re.finditer(r"-+ Iteration +\d+\( +1\)", text)]
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _only(pattern: str, text: str) -> str:
    return str(re.findall(pattern, text)[-1])


def _voigt(kilobar: np.ndarray) -> np.ndarray:
    return -0.1 * units.GPa * kilobar[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def largest(pairs: Sequence[tuple[object, object]]) -> float | None:
    """Largest difference of pairs of numbers or arrays; None when nothing can be compared, inf when
    shapes differ."""
    found = []
    for one, other in pairs:
        if one is None or other is None:
            continue
        left, right = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
        same = left.shape == right.shape
        found.append(float(np.max(np.abs(left - right), initial=0.0)) if same else float("inf"))
    return max(found) if found else None
