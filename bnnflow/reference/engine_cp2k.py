"""CP2K's Quickstep: Gaussian basis sets, GTH pseudopotentials, for crystals and molecules in a box.

The energy is the one of CP2K's "ENERGY| Total FORCE_EVAL" line, to which its forces and stress
belong; with smearing it holds the electronic entropy. Every label starts from atomic densities
unless `restart` is on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from ase.data import chemical_symbols

from bnnflow.errors import ConfigError, ReferenceError
from bnnflow.records import Failure, Label, Structure
from bnnflow.reference.base import Remedy
from bnnflow.reference.cp2k_input import INPUT, START, keep_start, write_cp2k_input
from bnnflow.reference.cp2k_output import explain_cp2k, read_cp2k
from bnnflow.reference.periodic import FREE, NO_SMEARING, Periodic

_DEBIAN_FOLDER = "/usr/share/cp2k"
_ISOLATIONS = ("none", "martyna-tuckerman")
_SOLVERS = ("diagonalization", "ot")


@dataclass(frozen=True, kw_only=True)
class CP2KReference(Periodic):
    """CP2K. Besides the settings of `Periodic`:

    cutoff_eV: plane-wave cutoff of the density's finest grid; relative_cutoff_eV: which Gaussians
    go onto it; basis, potential: names for all elements ("" for GTH-functional), bases, potentials:
    for some; basis_file, potential_file: of data_folder, "" for $CP2K_DATA_DIR or Debian's.
    assume_isolated: "martyna-tuckerman" treats a molecule without its images. eps_scf, eps_default:
    CP2K's thresholds; solver: "diagonalization" or, for gapped systems at Gamma, "ot"; mixing_beta:
    of new densities; max_steps: SCF iterations. restart: begin with the label before.
    """

    cutoff_eV: float
    relative_cutoff_eV: float = 816.0
    functional: str = "PBE"
    basis: str = "DZVP-MOLOPT-SR-GTH"
    bases: Mapping[str, Any] = field(default_factory=dict)
    potential: str = ""
    potentials: Mapping[str, Any] = field(default_factory=dict)
    basis_file: str = "BASIS_MOLOPT"
    potential_file: str = "GTH_POTENTIALS"
    data_folder: str = ""
    assume_isolated: str = "none"
    eps_scf: float = 1e-7
    eps_default: float = 1e-12
    solver: str = "diagonalization"
    mixing_beta: float = 0.4
    max_steps: int = 100
    restart: bool = False
    executable: str = "cp2k.psmp"

    smearings: ClassVar[tuple[str, ...]] = ("fermi-dirac",)
    scratch: ClassVar[tuple[str, ...]] = ("cp2k-RESTART.*", "*.bak-*")

    def __post_init__(self) -> None:
        super().__post_init__()
        tolerances = (self.eps_scf, self.eps_default, self.mixing_beta)
        if min(self.cutoff_eV, self.relative_cutoff_eV, *tolerances) <= 0 or self.max_steps < 1:
            raise ConfigError(
                "cp2k: cutoff_eV, relative_cutoff_eV, eps_scf, eps_default, mixing_beta and "
                "max_steps must be > 0"
            )
        for name, value, known in (
            ("assume_isolated", self.assume_isolated, _ISOLATIONS),
            ("solver", self.solver, _SOLVERS),
        ):
            if value not in known:
                raise ConfigError(f"cp2k: {name} is {value!r}, expected {' or '.join(known)}")
        if self.smearing == NO_SMEARING and self.spin == FREE:
            raise ConfigError(
                "cp2k: spin: free needs smearing, without which CP2K fixes the moment"
            )
        if self.smearing != NO_SMEARING and self.solver == "ot":
            raise ConfigError("cp2k: solver ot takes no smearing: use diagonalization")

    @property
    def level(self) -> str:
        """For example "PBE/DZVP-MOLOPT-SR-GTH, grid to 4000 eV, Gamma point (CP2K)"."""
        parts = [f"{self.functional}/{self.basis}, grid to {self.cutoff_eV:g} eV "]
        parts += [f"(relative {self.relative_cutoff_eV:g} eV), ", self.k_words]
        named = {**self.bases, **{f"{key} core": name for key, name in self.potentials.items()}}
        parts += [f", {key}: {name}" for key, name in sorted(named.items())]
        parts += [f", {self.potential}"] if self.potential else []
        parts += [f", {self.assume_isolated}"] if self.assume_isolated != "none" else []
        return "".join([*parts, self.occupation_words]) + " (CP2K)"

    @property
    def restart_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The orbitals, if they are wanted."""
        return (START,) if self.restart else ()

    @property
    def folder(self) -> Path:
        """Where basis sets and pseudopotentials are."""
        return Path(self.data_folder or os.environ.get("CP2K_DATA_DIR", _DEBIAN_FOLDER))

    def kinds(self, structure: Structure) -> dict[str, tuple[str, str]]:
        """Basis set and pseudopotential of each element of the structure."""
        common = self.potential or f"GTH-{self.functional}"
        symbols = dict.fromkeys(chemical_symbols[number] for number in structure.numbers)
        return {
            symbol: (self.bases.get(symbol, self.basis), self.potentials.get(symbol, common))
            for symbol in symbols
        }

    def check(self, structure: Structure) -> None:
        """Refuse what has no cell, no basis set, no pseudopotential, or an impossible spin."""
        self.check_cell(structure)
        if self.solver == "ot" and self.mesh(structure).size != (1, 1, 1):
            raise ConfigError("cp2k: solver ot knows no k-points: use diagonalization")
        for symbol, (basis, potential) in self.kinds(structure).items():
            _check_name(self.folder / self.basis_file, "basis set", symbol, basis)
            _check_name(self.folder / self.potential_file, "pseudopotential", symbol, potential)
        self.check_electrons(structure, n_electrons=int(structure.numbers.sum()))

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write `cp2k.inp`."""
        text = write_cp2k_input(self, structure, restarted=(directory / START).is_file())
        (directory / INPUT).write_text(text)

    def command(self, directory: Path) -> list[str]:  # noqa: ARG002
        """CP2K over the ranks of its launcher."""
        return ["env", f"OMP_NUM_THREADS={self.threads}", self.executable, "-i", INPUT]

    def explain(self, directory: Path) -> Failure | None:
        """What CP2K printed before it stopped."""
        return explain_cp2k(directory)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the printout; CP2K ends well, with forces, also when nothing has converged."""
        found = read_cp2k(self, structure, directory)
        if self.restart and isinstance(found, Label):
            keep_start(directory)
        return found

    def remedies(self) -> tuple[Remedy, ...]:
        """Mix less; at Gamma with a gap, minimise directly; begin with smeared occupations."""
        steps = 3 * self.max_steps
        less = replace(self, mixing_beta=0.1, solver="diagonalization", max_steps=steps)
        width = max(0.2, 3 * self.smearing_width_eV)
        smeared = replace(less, smearing="fermi-dirac", smearing_width_eV=width, restart=True)
        found = [Remedy(f"diagonalization, mixing 0.1 and {steps} steps", less)]
        if self.smearing == NO_SMEARING and not (self.k_points or self.k_spacing_per_A):
            direct = replace(self, solver="ot", max_steps=steps)
            found.append(Remedy(f"orbital transformation and {steps} steps", direct))
        name = f"a start from Fermi-Dirac smearing of {width:g} eV"
        return (*found, Remedy(name, replace(less, restart=True), start=smeared))


def _check_name(path: Path, what: str, symbol: str, name: str) -> None:
    """Refuse a name that the file does not have for the element: lines of symbol and names."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ReferenceError(
            f"cp2k: {path} cannot be read ({error.strerror}): correct data_folder, basis_file or "
            "potential_file"
        ) from error
    known = [words[1:] for words in map(str.split, lines) if words[:1] == [symbol]]
    if not any(name in names for names in known):
        found = ", ".join(names[0] for names in known if names) or "nothing"
        raise ReferenceError(
            f"cp2k: {path} has no {what} {name} for {symbol}, only {found}: name another"
        )
