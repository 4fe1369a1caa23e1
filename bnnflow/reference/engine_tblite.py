"""GFN1-xTB and GFN2-xTB with tblite: milliseconds per molecule, stress for crystals.

Periodic structures are sampled at Gamma only, so a small cell is unphysical.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from bnnflow.errors import ConfigError, ReferenceError, StructureError
from bnnflow.records import Failure, Label, Structure
from bnnflow.reference.base import Plain, Remedy
from bnnflow.reference.checks import check_spin
from bnnflow.reference.exchange import calculate, parse_output, python_command, write_input

_METHODS = ("GFN2-xTB", "GFN1-xTB")
_HEAVIEST = 86


@dataclass(frozen=True)
class TBLiteReference(Plain):
    """tblite, inside the calling process unless `isolated`.

    accuracy: tblite's factor on all thresholds, smaller is tighter; mixer_damping: how much of a
    new charge distribution enters the next (tblite's own default); electronic_temperature_K: of
    the Fermi occupation; threads: used only when isolated, otherwise OMP_NUM_THREADS decides.
    """

    method: str = "GFN2-xTB"
    accuracy: float = 1.0
    max_iterations: int = 250
    mixer_damping: float = 0.4
    electronic_temperature_K: float = 300.0
    isolated: bool = False
    threads: int = 1

    has_stress: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if importlib.util.find_spec("tblite") is None:
            raise ReferenceError("tblite is not installed: pip install tblite")
        if self.method not in _METHODS:
            raise ConfigError(f"tblite: method is {self.method}, expected {' or '.join(_METHODS)}")
        positive = (self.accuracy, self.max_iterations, self.electronic_temperature_K, self.threads)
        if min(positive) <= 0:
            raise ConfigError("tblite: accuracy, iterations, temperature and threads must be > 0")

    @property
    def level(self) -> str:
        """For example "GFN2-xTB (tblite)"."""
        return f"{self.method} (tblite)"

    def check(self, structure: Structure) -> None:
        """Refuse slabs and wires, elements beyond radon and impossible spins."""
        if structure.pbc.any() and not structure.pbc.all():
            raise StructureError(
                f"pbc is {structure.pbc.tolist()}, but tblite calculates molecules or crystals "
                "periodic in all three directions: make all of pbc equal"
            )
        if structure.numbers.max(initial=0) > _HEAVIEST:
            raise StructureError(f"GFN-xTB ends at element {_HEAVIEST}: use another reference")
        lanthanide = (structure.numbers >= 57) & (structure.numbers <= 71)
        # GFN-xTB puts the f electrons of a lanthanide into its core and leaves three
        electrons = np.where(lanthanide, 3, structure.numbers)
        check_spin(structure, n_electrons=int(electrons.sum()))

    def remedies(self) -> tuple[Remedy, ...]:
        """Mix less of the new charges, over more iterations."""
        many = 4 * self.max_iterations
        slow = replace(self, mixer_damping=0.1, max_iterations=many)
        return (Remedy(f"mixer damping 0.1 and {many} iterations", slow),)

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write the structure and the settings."""
        write_input(structure, asdict(self), directory)

    def command(self, directory: Path) -> list[str]:
        """A Python process that runs `run_tblite`."""
        return python_command("bnnflow.reference.run_tblite", directory, threads=self.threads)

    def run(self, directory: Path) -> None:
        """The same inside this process."""
        from bnnflow.reference.run_tblite import compute

        calculate(compute, directory)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the result."""
        return parse_output(structure, directory, level=self.level)
