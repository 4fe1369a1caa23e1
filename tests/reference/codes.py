"""The electronic-structure codes under test; one joins with one entry in `CODES`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnflow.records import Failure, FailureCause, Label, Structure
from bnnflow.reference import build_reference
from bnnflow.units import BOHR, HARTREE

MPIRUN = "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2"
RYDBERG = HARTREE / 2
Options = Mapping[str, Any]
Printed = tuple[float, np.ndarray]


@dataclass(frozen=True)
class Code:
    """A code under test.

    crystal, molecule: options that calculate them in a few seconds; converged: options on top, with
    which energies are smooth enough for finite differences of a strained cell; few_steps: options
    that cannot converge; wrong_input: what only the code itself can refuse; wrong_core: a
    pseudopotential, or what stands for it, that does not exist; printed: energy in eV and forces in
    eV/Å as the code printed them; k_points: those it printed, in units of reciprocal vectors;
    digits: of the printed energy and forces; ranks_differ_by: eV and eV/Å between one process and
    two ranks; slopes: eV/Å and eV/Å³ that finite differences may be off; better: options on top,
    with which PBE forces are comparable between codes, if they are PBE forces (same_physics);
    restarts: whether there is an option `restart`; quick: whether a label takes a second or two.
    """

    name: str
    missing: str
    crystal: Options
    molecule: Options
    converged: Options
    few_steps: Options
    wrong_input: Options
    wrong_core: Options
    printed: Callable[[Path], Printed]
    k_points: Callable[[Path, Structure], np.ndarray]
    digits: tuple[float, float] = (2e-7, 1e-6)
    ranks_differ_by: tuple[float, float] = (1e-6, 2e-4)
    slopes: tuple[float, float] = (1e-3, 2e-4)
    better: Options = field(default_factory=dict)
    same_physics: bool = True
    restarts: bool = False
    quick: bool = False
    launcher: str = MPIRUN

    def __str__(self) -> str:
        return self.name


def program(name: str) -> str:
    """Why a program cannot be run here, "" when it can."""
    return "" if shutil.which(name) and shutil.which("mpirun") else f"{name} or mpirun is missing"


def attempt(folder: Path) -> Path:
    return sorted(folder.glob("attempt-*"))[-1]


def text_of(folder: Path, name: str = "output.log") -> str:
    return (attempt(folder) / name).read_text()


def numbers(rows: list[tuple[str, ...]]) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


NUMBER = r"\s+(-?\d+\.\d+(?:E[-+]\d+)?)"
THREE = NUMBER * 3


def printed_by_espresso(folder: Path) -> Printed:
    text = text_of(folder)
    (energy,) = re.findall(r"^! +total energy +=\s+(\S+) Ry", text, re.M)
    block = text[text.index("Forces acting on atoms") : text.index("Total force =")]
    forces = numbers(re.findall(rf"atom +\d+ type +\d+ +force ={THREE}", block))
    return float(energy) * RYDBERG, forces * RYDBERG / BOHR


def k_points_of_espresso(folder: Path, structure: Structure) -> np.ndarray:
    text = text_of(folder)
    (alat,) = re.findall(r"lattice parameter \(alat\) += +(\S+) +a\.u\.", text)
    rows = re.findall(r"k\( *\d+\) = \( *(\S+) +(\S+) +(\S+)\), wk", text)
    return numbers(rows) / (float(alat) * BOHR) @ structure.cell.T


def printed_by_gpaw(folder: Path) -> Printed:
    text = text_of(folder, "gpaw.txt")
    (energy,) = re.findall(r"^  Free energy: +(\S+)", text, re.M)
    block = text[text.index("Forces  # eV/Ang") :]
    forces = numbers(re.findall(r"^\| +(-?\d\S+) \| +(-?\d\S+) \| +(-?\d\S+) \|  #", block, re.M))
    return float(energy), forces


def k_points_of_gpaw(folder: Path, structure: Structure) -> np.ndarray:
    text = text_of(folder, "gpaw.txt")
    rows = re.findall(r"^\| *\d+ \| \(([^,)]+),([^,)]+),([^,)]+)\) \| +\d+\.\d+ \|$", text, re.M)
    return numbers(rows)


def printed_by_cp2k(folder: Path) -> Printed:
    text = text_of(folder)
    (energy,) = re.findall(r"^ ENERGY\| Total FORCE_EVAL .*:\s+(\S+)$", text, re.M)
    block = text[text.index("ATOMIC FORCES in [a.u.]") : text.index("SUM OF ATOMIC FORCES")]
    forces = numbers(re.findall(rf"^ +\d+ +\d+ +[A-Z][a-z]?{THREE}$", block, re.M))
    return float(energy) * HARTREE, forces * HARTREE / BOHR


def k_points_of_cp2k(folder: Path, structure: Structure) -> np.ndarray:
    rows = re.findall(rf"^ BRILLOUIN\| +\d+ +0\.\d+{THREE}$", text_of(folder), re.M)
    return numbers(rows)


GPAW_PYTHON = os.environ.get("BNNFLOW_TEST_GPAW_PYTHON", "")
GPAW_HERE = GPAW_PYTHON or importlib.util.find_spec("gpaw") is not None
LDA_BOX: Options = {"functional": "LDA", "box_A": 8.0}

CODES = [
    Code(
        name="espresso",
        missing=program("pw.x"),
        crystal={"ecutwfc_eV": 220.0, "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"}},
        molecule={
            **LDA_BOX,
            "ecutwfc_eV": 180.0,
            "pseudopotentials": {"Si": "Si.pz-vbc.UPF", "H": "H.pz-vbc.UPF"},
        },
        converged={"ecutwfc_eV": 400.0, "conv_thr_eV": 1e-9},
        few_steps={"max_steps": 2},
        wrong_input={"extra": {"system": {"nonsense": 1}}},
        wrong_core={"pseudopotentials": {"Si": "Si.nowhere.UPF"}},
        printed=printed_by_espresso,
        k_points=k_points_of_espresso,
        restarts=True,
        quick=True,
    ),
    Code(
        name="gpaw",
        missing="" if GPAW_HERE and shutil.which("mpirun") else "GPAW or mpirun is missing",
        crystal={"cutoff_eV": 250.0, "python": GPAW_PYTHON},
        molecule={**LDA_BOX, "cutoff_eV": 250.0, "python": GPAW_PYTHON},
        converged={"cutoff_eV": 500.0, "conv_density": 1e-7},
        few_steps={"max_steps": 2},
        wrong_input={"functional": "nonsense"},
        wrong_core={"setups": {"Si": "nowhere"}},
        printed=printed_by_gpaw,
        k_points=k_points_of_gpaw,
        digits=(1e-6, 1e-5),
    ),
    Code(
        name="cp2k",
        missing=program("cp2k.psmp"),
        crystal={"cutoff_eV": 2700.0, "relative_cutoff_eV": 400.0, "basis": "SZV-MOLOPT-SR-GTH"},
        molecule={**LDA_BOX, "cutoff_eV": 2700.0, "relative_cutoff_eV": 540.0},
        converged={"cutoff_eV": 5400.0, "relative_cutoff_eV": 800.0, "eps_scf": 1e-8},
        few_steps={"max_steps": 2},
        wrong_input={"functional": "nonsense", "potential": "GTH-PBE"},
        wrong_core={"potential": "GTH-NOWHERE"},
        restarts=True,
        better={"basis": "DZVP-MOLOPT-SR-GTH"},
        printed=printed_by_cp2k,
        k_points=k_points_of_cp2k,
    ),
]


def cases(*, slow: bool = False, only_quick: bool = False) -> list[Any]:
    """The codes as parameters; a test of one that is not quick is slow."""
    chosen = [code for code in CODES if code.quick or not only_quick]
    return [
        pytest.param(
            code,
            id=code.name,
            marks=[
                pytest.mark.skipif(bool(code.missing), reason=code.missing),
                *([pytest.mark.slow] if slow or not code.quick else []),
            ],
        )
        for code in chosen
    ]


every_code = pytest.mark.parametrize("code", cases())
every_code_slowly = pytest.mark.parametrize("code", cases(slow=True))
MESH = {"k_points": [3, 3, 3]}


def silicon(*, rattled: float = 0.06) -> Structure:
    """Two silicon atoms away from their places, in a cell without symmetry."""
    atoms = bulk("Si", a=5.43)
    strained = np.array([[1.01, 0.02, 0.0], [0.0, 0.98, 0.01], [0.0, 0.0, 1.0]])
    atoms.set_cell(atoms.cell.array @ strained)
    atoms.set_scaled_positions([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
    atoms.rattle(rattled, seed=3)
    return Structure.from_atoms(atoms)


def silylene(*, charge: int = 0, multiplicity: int = 1) -> Structure:
    """SiH2, bent and without symmetry: a singlet whose triplet lies 0.9 eV above it."""
    atoms = Atoms("SiH2", positions=[[0.0, 0.0, 0.0], [1.09, 1.05, 0.1], [-1.15, 1.01, -0.05]])
    return Structure.from_atoms(atoms, charge=charge, multiplicity=multiplicity)


def good(outcome: Label | Failure) -> Label:
    assert isinstance(outcome, Label), outcome
    return outcome


def bad(outcome: Label | Failure, cause: FailureCause) -> Failure:
    assert isinstance(outcome, Failure)
    assert outcome.cause is cause, outcome
    return outcome


def reference_of(code: Code, **more: Any) -> Any:
    return build_reference({"engine": code.name, **code.molecule, **more})


STRUCTURES = {"crystal": silicon(), "molecule": silylene()}
each_structure = pytest.mark.parametrize("what", STRUCTURES)
