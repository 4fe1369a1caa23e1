"""A VASP to run, and its POTCARs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bnnflow.records import Structure

sys.path.insert(0, str(Path(__file__).parents[2] / "standins"))


@pytest.fixture(scope="session")
def potcars(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the POTCAR library."""
    from vasp_library import library

    return library(tmp_path_factory.mktemp("potcars"))


@pytest.fixture
def vasp(potcars: str) -> Callable[..., dict[str, Any]]:
    """Options of the vasp engine: PBE at 400 eV in a box of 12 Å unless told otherwise."""
    from vasp_library import PROGRAM

    def options(**changes: Any) -> dict[str, Any]:
        usual = {
            "engine": "vasp",
            "functional": "PBE",
            "encut_eV": 400,
            "ediff_eV": 1e-7,
            "box_A": 12.0,
            "potcar_folder": potcars,
            "program": PROGRAM,
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    return options


@pytest.fixture
def copper() -> Structure:
    """Four copper atoms in a sheared cell, so that no force and no stress vanishes."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    shear = np.array([[1.0, 0.03, 0.0], [0.0, 1.02, 0.01], [0.0, 0.0, 1.0]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return Structure.from_atoms(atoms)
