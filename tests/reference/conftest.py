"""Structures and deliberately bad calculators for the reference tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from codes import MESH, Code

from bnnflow.records import Failure, Handling, Label, LabelRequest, Structure
from bnnflow.reference import label

BAD_CALCULATORS = '''
import os, subprocess, sys, time
import numpy as np
from ase.calculators.calculator import Calculator, SCFError, all_changes

class Base(Calculator):
    implemented_properties = ["energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        zeros = np.zeros((len(self.atoms), 3))
        self.results = {"energy": 1.0, "forces": zeros, "stress": np.zeros(6)}

class Raises(Base):
    def calculate(self, *args, **kwargs):
        raise RuntimeError("the disk is on fire")

class Exits(Base):
    def calculate(self, *args, **kwargs):
        os._exit(3)

class Killed(Base):
    def calculate(self, *args, **kwargs):
        os.kill(os.getpid(), 9)

class Hangs(Base):
    """Waits with a child of its own, whose process id it writes down."""

    def calculate(self, *args, **kwargs):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open("child.pid", "w") as file:
            file.write(str(child.pid))
        time.sleep(60)

class Moves(Base):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.atoms.positions[1, 2] += 1e-4

class Sorts(Base):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.atoms = self.atoms[np.argsort(self.atoms.numbers)]

class Nan(Base):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] = float("nan")

class NanStress(Base):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["stress"][4] = np.inf

class Unconverged(Base):
    converged = False

class RaisesSCF(Base):
    def calculate(self, *args, **kwargs):
        raise SCFError("no convergence")

class ElsewhereAtFirst(Base):
    """Another geometry at its first call, for which alone it has the forces asked for."""

    def calculate(self, atoms=None, *args, **kwargs):
        first, self.called = not getattr(self, "called", False), True
        atoms = atoms.copy()
        atoms.positions[0, 0] += 0.01 * first
        super().calculate(atoms, *args, **kwargs)

class TwoEnergies(Base):
    implemented_properties = ["energy", "free_energy", "forces"]

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["free_energy"] = 2.0

class Electrons(Base):
    """Its energy tells which charge and multiplicity it was given."""

    def __init__(self, total_charge=0, spin=1):
        super().__init__()
        self.told = 10 * total_charge + spin

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] = float(self.told)
'''


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an importable module of bad calculators."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "bad_calculators.py").write_text(BAD_CALCULATORS)
    monkeypatch.syspath_prepend(folder)
    return "bad_calculators"


@pytest.fixture
def water() -> Structure:
    """A water molecule away from its minimum, so that no force vanishes."""
    shift = np.array([[0.0, 0.03, 0.02], [0.05, 0.0, -0.04], [0.0, -0.03, 0.06]])
    atoms = molecule("H2O")
    atoms.positions += shift
    return Structure.from_atoms(atoms)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., LabelRequest]:
    """Make a request in a label folder of this test."""

    def make(
        structure: Structure,
        *,
        timeout_s: float = 60.0,
        folder: str = "0001",
        previous: str = "",
        handling: Handling | None = None,
        **spec: Any,
    ) -> LabelRequest:
        reference: Mapping[str, Any] = spec
        labels = tmp_path / "labels"
        return LabelRequest(
            reference,
            structure,
            str(labels / folder),
            handling or Handling(timeout_s=timeout_s),
            previous=str(labels / previous) if previous else "",
        )

    return make


@pytest.fixture(scope="session", autouse=True)
def _one_machine() -> Iterator[None]:
    """Open MPI on one machine: loopback alone, and ranks that wait without burning their core."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "OMPI_MCA_oob_tcp_if_include": "lo",
            "OMPI_MCA_btl_tcp_if_include": "lo",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Label | Failure]:
    """Calculate a structure with a code; what was calculated before comes from its folder."""
    root = tmp_path_factory.mktemp("labels")
    folders: dict[str, str] = {}

    def calculate(
        code: Code,
        structure: Structure,
        *,
        launcher: str | None = None,
        timeout_s: float = 280.0,
        **more: Any,
    ) -> Label | Failure:
        usual = {**code.crystal, **MESH} if structure.pbc.any() else code.molecule
        words = code.launcher if launcher is None else launcher
        spec = {"engine": code.name, **usual, **more}
        atoms = (structure.positions, structure.cell, structure.charge, structure.multiplicity)
        key = repr((spec, words, [np.asarray(part).tolist() for part in atoms]))
        folder = folders.setdefault(key, str(root / f"{len(folders):04d}"))
        handling = Handling(timeout_s=timeout_s, launcher=words)
        return label(LabelRequest(spec, structure, folder, handling))

    return calculate
