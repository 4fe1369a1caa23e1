"""Hartree-Fock and density functional theory of molecules with PySCF.

Energy, and forces as minus its gradient. B3LYP is PySCF's, with the VWN correlation of the
original program (VWN III/RPA, libxc 402). Every label starts from the superposition of atomic
densities, never from the density of an earlier one, so a label depends on its structure alone.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from ase.data import chemical_symbols

from bnnflow.errors import ConfigError, ReferenceError, StructureError
from bnnflow.records import Failure, Label, Structure
from bnnflow.reference.base import Plain, Remedy
from bnnflow.reference.checks import check_spin
from bnnflow.reference.exchange import parse_output, python_command, write_input


@dataclass(frozen=True)
class PySCFReference(Plain):
    """PySCF; restricted for multiplicity 1, unrestricted otherwise.

    method: "HF" or a functional's name; grid_level: 0-9; grid_response: whether gradients follow
    the motion of the integration grid; conv_tol: Hartree; max_cycle: SCF iterations allowed;
    level_shift_Ha: of the empty orbitals; second_order: Newton's method instead of DIIS.
    """

    method: str = "B3LYP"
    basis: str = "def2-SVP"
    density_fit: bool = True
    grid_level: int = 3
    grid_response: bool = False
    conv_tol: float = 1e-9
    max_cycle: int = 100
    level_shift_Ha: float = 0.0
    second_order: bool = False
    threads: int = 1
    max_memory_mb: int = 4000

    isolated: ClassVar[bool] = True
    has_stress: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pyscf") is None:
            raise ReferenceError('PySCF is not installed: pip install "bnnflow[pyscf]"')
        if not 0 <= self.grid_level <= 9:
            raise ConfigError(f"pyscf: grid_level is {self.grid_level}, expected 0 to 9")
        if self.conv_tol <= 0 or min(self.max_cycle, self.threads, self.max_memory_mb) < 1:
            raise ConfigError("pyscf: conv_tol, max_cycle, threads and max_memory_mb must be > 0")

    @property
    def level(self) -> str:
        """For example "B3LYP/def2-SVP, density fitting, grid level 3 (PySCF)"."""
        parts = [f"{self.method}/{self.basis}"]
        parts += ["density fitting"] if self.density_fit else []
        parts += [f"grid level {self.grid_level}"] if self.method.upper() != "HF" else []
        return ", ".join(parts) + " (PySCF)"

    def check(self, structure: Structure) -> None:
        """Refuse periodic structures, impossible spins, and names that PySCF does not know."""
        if structure.pbc.any():
            raise StructureError(
                "the pyscf engine calculates molecules, but the structure is periodic: "
                "set pbc to false or use another reference"
            )
        check_spin(structure, n_electrons=int(structure.numbers.sum()))
        _check_functional(self.method)
        _check_basis(self.basis, {chemical_symbols[number] for number in structure.numbers})

    def remedies(self) -> tuple[Remedy, ...]:
        """Hold the empty orbitals off, with more cycles; then Newton's method."""
        shifted = replace(self, level_shift_Ha=0.3, max_cycle=3 * self.max_cycle)
        newton = replace(self, second_order=True, max_cycle=3 * self.max_cycle)
        return (
            Remedy(f"level shift 0.3 Ha and {3 * self.max_cycle} cycles", shifted),
            Remedy(f"second-order solver and {3 * self.max_cycle} cycles", newton),
        )

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write the structure and the settings."""
        write_input(structure, asdict(self), directory)

    def command(self, directory: Path) -> list[str]:
        """A Python process that runs `run_pyscf`."""
        return python_command("bnnflow.reference.run_pyscf", directory, threads=self.threads)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the result."""
        return parse_output(structure, directory, level=self.level)


def _check_functional(method: str) -> None:
    """Let PySCF read the functional's name, and say whether it can add its dispersion."""
    from pyscf.dft import libxc
    from pyscf.scf import dispersion

    try:
        functional, _, correction = dispersion.parse_dft(method)
        libxc.parse_xc(functional)
    except (KeyError, ValueError, NotImplementedError) as error:
        raise ReferenceError(
            f"method {method} is not a functional that PySCF knows: use HF or a name such as "
            "B3LYP, PBE0 or PBE"
        ) from error
    if correction and importlib.util.find_spec("pyscf.dispersion") is None:
        raise ReferenceError(f"method {method} needs a package: pip install pyscf-dispersion")


def _check_basis(basis: str, symbols: Collection[str]) -> None:
    from pyscf import gto
    from pyscf.lib.exceptions import BasisNotFoundError

    for symbol in sorted(symbols):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it advertises a package of more basis sets
                gto.basis.load(basis, symbol)
        except BasisNotFoundError as error:
            raise ReferenceError(
                f"basis {basis} is unknown to PySCF, or has no {symbol}: choose another basis"
            ) from error
