"""Quantum ESPRESSO's pw.x: plane waves and pseudopotentials, for crystals and molecules in a box.

The energy is pw.x's "total energy", which with smearing is the free energy (the -TS term is in it):
the one that the forces and the stress are the derivatives of. Every label starts from the
superposition of atomic densities unless `restart` is on.
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
from bnnflow.reference.espresso_input import NAMELISTS, OURS, write_pw_input
from bnnflow.reference.espresso_output import explain_pw, read_pw
from bnnflow.reference.periodic import NO_SMEARING, Periodic
from bnnflow.reference.restart import pack, unpack
from bnnflow.reference.upf import (
    FUNCTIONALS,
    Pseudopotential,
    check_upf,
    choose_upf,
    read_upf,
)

_INPUT = "pw.in"
_DENSITY = "density.tar"
_SAVED = ("charge-density.*", "paw.txt", "occup.txt")
_DEBIAN_FOLDER = "/usr/share/espresso/pseudo"
_ISOLATIONS = ("none", "martyna-tuckerman", "2D")


@dataclass(frozen=True, kw_only=True)
class EspressoReference(Periodic):
    """pw.x. Besides the settings of `Periodic`:

    functional: LDA (Perdew-Zunger), PBE, PBEsol or BLYP; any other name is given to pw.x as it is
    if pseudo_functional says what the pseudopotentials are made for. ecutwfc_eV: plane-wave cutoff
    of the orbitals; ecutrho_eV: of the density, 0 for 4 times it with norm-conserving
    pseudopotentials and 8 times with any other. pseudopotentials: file per element; pseudo_folder:
    where they are, "" for $ESPRESSO_PSEUDO or Debian's folder. hubbard_U_eV: per element, in the
    syntax of pw.x before 7.1. assume_isolated: pw.x's treatment of molecules and slabs.
    conv_thr_eV: estimated energy error; mixing_beta, mixing_mode, diagonalization, max_steps: of
    the SCF. restart: begin with the density of the label before. pools: groups of ranks that share
    the k-points. extra: further entries per namelist, {"system": {"vdw_corr": "dft-d3"}}.
    """

    ecutwfc_eV: float
    ecutrho_eV: float = 0.0
    functional: str = "PBE"
    pseudo_functional: str = ""
    pseudopotentials: Mapping[str, Any] = field(default_factory=dict)
    pseudo_folder: str = ""
    hubbard_U_eV: Mapping[str, Any] = field(default_factory=dict)
    assume_isolated: str = "none"
    conv_thr_eV: float = 1e-8
    mixing_beta: float = 0.7
    mixing_mode: str = "plain"
    diagonalization: str = "david"
    max_steps: int = 100
    restart: bool = False
    pools: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    executable: str = "pw.x"

    smearings: ClassVar[tuple[str, ...]] = (
        "gaussian",
        "methfessel-paxton",
        "marzari-vanderbilt",
        "fermi-dirac",
    )
    scratch: ClassVar[tuple[str, ...]] = ("pwscf.save", "pwscf.[!x]*", "input_tmp.in")

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = (self.ecutwfc_eV, self.conv_thr_eV, self.mixing_beta)
        if min(positive) <= 0 or min(self.max_steps, self.pools) < 1:
            raise ConfigError(
                "espresso: ecutwfc_eV, conv_thr_eV, mixing_beta, max_steps and pools must be > 0"
            )
        if self.ecutrho_eV and self.ecutrho_eV < 4 * self.ecutwfc_eV:
            raise ConfigError(
                f"espresso: ecutrho_eV is {self.ecutrho_eV:g}, expected at least "
                f"{4 * self.ecutwfc_eV:g}, four times ecutwfc_eV"
            )
        if self.made_for not in FUNCTIONALS:
            raise ConfigError(
                f"espresso: functional {self.made_for} is not one of {', '.join(FUNCTIONALS)}: say "
                "in pseudo_functional which of these the pseudopotentials are made for"
            )
        if self.assume_isolated not in _ISOLATIONS:
            raise ConfigError(
                f"espresso: assume_isolated is {self.assume_isolated!r}, expected one of "
                f"{', '.join(_ISOLATIONS)}"
            )
        _check_extra(self.extra)

    @property
    def made_for(self) -> str:
        """The functional that the pseudopotentials must be made for."""
        return self.pseudo_functional or self.functional

    @property
    def level(self) -> str:
        """For example "PBE, plane waves to 400 eV, 4x4x4 k-points, Gamma-centred (pw.x)"."""
        density = f" (density {self.ecutrho_eV:g} eV)" if self.ecutrho_eV else ""
        parts = [f"{self.functional}, plane waves to {self.ecutwfc_eV:g} eV{density}, "]
        parts += [self.k_words, self.occupation_words]
        parts += [f", U({name}) {value:g} eV" for name, value in sorted(self.hubbard_U_eV.items())]
        isolated = self.assume_isolated
        parts += [f", {isolated}"] if isolated != "none" else []
        parts += [f", {key}={value}" for key, value in _flat(self.extra)]
        return "".join(parts) + " (pw.x)"

    @property
    def restart_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The density, if it is wanted."""
        return (_DENSITY,) if self.restart else ()

    def check(self, structure: Structure) -> None:
        """Refuse what has no cell, no fitting pseudopotentials, or an impossible spin."""
        self.check_cell(structure)
        potentials = self.potentials(structure)
        valence = [potentials[chemical_symbols[number]].valence for number in structure.numbers]
        self.check_electrons(structure, n_electrons=round(sum(valence)))

    def potentials(self, structure: Structure) -> dict[str, Pseudopotential]:
        """The pseudopotential of each element, in the order of the structure.

        Raises ReferenceError when one is missing or made for something else.
        """
        folder = Path(self.pseudo_folder or os.environ.get("ESPRESSO_PSEUDO", _DEBIAN_FOLDER))
        found = {}
        for symbol in dict.fromkeys(chemical_symbols[number] for number in structure.numbers):
            name = self.pseudopotentials.get(symbol)
            path = folder / name if name else choose_upf(symbol, self.made_for, folder)
            if name and Path(name).name != name:
                raise ReferenceError(
                    f"pseudopotential {name} is a path: give its folder once, in pseudo_folder"
                )
            found[symbol] = read_upf(path.absolute())
            check_upf(found[symbol], symbol, self.made_for)
        return found

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write `pw.in`, and lay out the density to begin with."""
        restarted = unpack(directory / _DENSITY, directory / "pwscf.save")
        text = write_pw_input(self, structure, self.potentials(structure), from_density=restarted)
        (directory / _INPUT).write_text(text)

    def command(self, directory: Path) -> list[str]:  # noqa: ARG002
        """pw.x over the ranks of its launcher."""
        pools = ["-nk", str(self.pools)] if self.pools > 1 else []
        threads = f"OMP_NUM_THREADS={self.threads}"
        return ["env", threads, self.executable, *pools, "-in", _INPUT]

    def explain(self, directory: Path) -> Failure | None:
        """What pw.x printed before it stopped."""
        return explain_pw(directory)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read `pwscf.xml` and the printout."""
        found = read_pw(self, structure, directory)
        if isinstance(found, Failure):
            return found
        if self.restart:
            pack(directory / "pwscf.save", _SAVED, directory / _DENSITY)
        potentials = self.potentials(structure)
        files = {symbol: potentials[symbol].described() for symbol in potentials}
        return replace(found, details={**found.details, "pseudopotentials": files})

    def remedies(self) -> tuple[Remedy, ...]:
        """Mix less; mix little, screened, with a robust solver; begin with smeared occupations."""
        steps = 3 * self.max_steps
        less = replace(self, mixing_beta=0.3, max_steps=steps)
        robust = replace(
            less, mixing_beta=0.1, mixing_mode="local-TF", diagonalization="cg", restart=False
        )
        width = max(0.2, 3 * self.smearing_width_eV)
        kind = "gaussian" if self.smearing == NO_SMEARING else self.smearing
        smeared = replace(less, smearing=kind, smearing_width_eV=width, restart=True)
        return (
            Remedy(f"mixing 0.3 and {steps} steps", less),
            Remedy(f"mixing 0.1, local-TF, conjugate gradients and {steps} steps", robust),
            Remedy(
                f"a start from {kind} smearing of {width:g} eV",
                replace(less, restart=True),
                start=smeared,
            ),
        )


def _check_extra(extra: Mapping[str, Any]) -> None:
    for namelist, entries in extra.items():
        if namelist not in NAMELISTS or not isinstance(entries, Mapping):
            raise ConfigError(
                f"espresso: extra has {namelist!r}, expected {', '.join(NAMELISTS)}, each with its "
                "entries"
            )
        taken = sorted(OURS & {key.lower() for key in entries})
        if taken:
            raise ReferenceError(
                f"espresso: extra sets {', '.join(taken)}, which bnnflow writes itself: use the "
                "engine's own option"
            )


def _flat(extra: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for entries in extra.values() for key, value in sorted(entries.items())]
