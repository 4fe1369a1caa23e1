"""The input of pw.x."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from bnnflow.records import Structure
from bnnflow.reference.meshes import Mesh
from bnnflow.reference.periodic import FREE, NO_SMEARING
from bnnflow.reference.upf import Pseudopotential
from bnnflow.units import HARTREE

if TYPE_CHECKING:
    from bnnflow.reference.engine_espresso import EspressoReference

RYDBERG = HARTREE / 2
NAMELISTS = ("control", "system", "electrons")

# Entries that come from the options, so that the label can speak for them.
_OURS = """
    calculation prefix outdir pseudo_dir tprnfor tstress disk_io ibrav nat ntyp ecutwfc ecutrho
    input_dft occupations smearing degauss nspin tot_magnetization tot_charge lda_plus_u
    assume_isolated conv_thr electron_maxstep mixing_beta mixing_mode diagonalization startingpot
    celldm a b c
"""
OURS = frozenset(_OURS.split())

_FUNCTIONAL_NAMES = {"LDA": "PZ"}

Entries = dict[str, Any]


def write_pw_input(
    settings: EspressoReference,
    structure: Structure,
    potentials: Mapping[str, Pseudopotential],
    *,
    from_density: bool,
) -> str:
    """The text of `pw.in`; everything pw.x writes goes into the folder it runs in."""
    folder = next(iter(potentials.values())).path.parent
    namelists = {
        "control": _control(str(folder), stress=bool(structure.pbc.all())),
        "system": _system(settings, structure, potentials),
        "electrons": _electrons(settings, from_density=from_density),
    }
    for name, entries in settings.extra.items():
        namelists[name].update(entries)
    lines = [line for name in NAMELISTS for line in _namelist(name, namelists[name])]
    lines += _species(potentials)
    lines += ["CELL_PARAMETERS angstrom", *_rows(settings.cell(structure))]
    lines += ["ATOMIC_POSITIONS angstrom", *_atoms(structure)]
    lines += _k_points(settings.mesh(structure))
    return "\n".join(lines) + "\n"


def density_cutoff(settings: EspressoReference, potentials: Iterable[Pseudopotential]) -> float:
    """Plane-wave cutoff of the density, eV."""
    factor = 4 if all(found.norm_conserving for found in potentials) else 8
    return settings.ecutrho_eV or factor * settings.ecutwfc_eV


def _control(pseudo_folder: str, *, stress: bool) -> Entries:
    return {
        "calculation": "scf",
        "prefix": "pwscf",
        "outdir": "./",
        "pseudo_dir": pseudo_folder,
        "tprnfor": True,
        "tstress": stress,
        "disk_io": "low",
    }


def _system(
    settings: EspressoReference, structure: Structure, potentials: Mapping[str, Pseudopotential]
) -> Entries:
    entries: Entries = {
        "ibrav": 0,
        "nat": len(structure),
        "ntyp": len(potentials),
        "ecutwfc": settings.ecutwfc_eV / RYDBERG,
        "ecutrho": density_cutoff(settings, potentials.values()) / RYDBERG,
        "input_dft": _FUNCTIONAL_NAMES.get(settings.functional, settings.functional.upper()),
        "tot_charge": float(structure.charge),
        "occupations": "fixed",
    }
    if settings.smearing != NO_SMEARING:
        width = settings.smearing_width_eV / RYDBERG
        entries |= {"occupations": "smearing", "smearing": settings.smearing, "degauss": width}
    if settings.assume_isolated != "none":
        entries["assume_isolated"] = settings.assume_isolated
    if settings.polarized(structure):
        entries |= _spin(settings, structure, potentials)
    return entries | _hubbard(settings, potentials)


def _spin(
    settings: EspressoReference, structure: Structure, potentials: Mapping[str, Pseudopotential]
) -> Entries:
    """pw.x starts from moments per valence electron."""
    entries: Entries = {"nspin": 2}
    if settings.spin == FREE:
        start = {
            symbol: settings.starting_magnetization.get(symbol, 0.0) / found.valence
            for symbol, found in potentials.items()
        }
    else:
        entries["tot_magnetization"] = float(structure.multiplicity - 1)
        symbols = [chemical_symbols[number] for number in structure.numbers]
        valence = sum(potentials[symbol].valence for symbol in symbols) - structure.charge
        start = dict.fromkeys(potentials, (structure.multiplicity - 1) / valence)
    for index, symbol in enumerate(potentials, start=1):
        entries[f"starting_magnetization({index})"] = start[symbol]
    return entries


def _hubbard(settings: EspressoReference, potentials: Mapping[str, Pseudopotential]) -> Entries:
    found = {
        f"Hubbard_U({index})": settings.hubbard_U_eV[symbol]
        for index, symbol in enumerate(potentials, start=1)
        if symbol in settings.hubbard_U_eV
    }
    return {"lda_plus_u": True, **found} if found else {}


def _electrons(settings: EspressoReference, *, from_density: bool) -> Entries:
    return {
        "conv_thr": settings.conv_thr_eV / RYDBERG,
        "electron_maxstep": settings.max_steps,
        "mixing_beta": settings.mixing_beta,
        "mixing_mode": settings.mixing_mode,
        "diagonalization": settings.diagonalization,
        "startingpot": "file" if from_density else "atomic",
    }


def _namelist(name: str, entries: Mapping[str, Any]) -> list[str]:
    lines = [f"  {key} = {_fortran(value)}" for key, value in entries.items()]
    return [f"&{name.upper()}", *lines, "/"]


def _fortran(value: Any) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _species(potentials: Mapping[str, Pseudopotential]) -> list[str]:
    masses = {symbol: atomic_masses[chemical_symbols.index(symbol)] for symbol in potentials}
    rows = [
        f"{symbol} {masses[symbol]:.6f} {found.path.name}" for symbol, found in potentials.items()
    ]
    return ["ATOMIC_SPECIES", *rows]


def _rows(vectors: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    return [" ".join(f"{value:.12f}" for value in row) for row in vectors]


def _atoms(structure: Structure) -> list[str]:
    rows = _rows(structure.positions)
    symbols = [chemical_symbols[number] for number in structure.numbers]
    return [f"{symbol} {row}" for symbol, row in zip(symbols, rows, strict=True)]


def _k_points(mesh: Mesh) -> list[str]:
    """At Gamma alone orbitals are real, which pw.x makes use of when it is told."""
    if mesh.size == (1, 1, 1):
        return ["K_POINTS gamma"]
    numbers = " ".join(map(str, (*mesh.size, *mesh.shifts)))
    return ["K_POINTS automatic", numbers]
