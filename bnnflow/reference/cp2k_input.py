"""The input of CP2K."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ase.data import chemical_symbols

from bnnflow.records import Structure
from bnnflow.reference.meshes import Mesh
from bnnflow.reference.periodic import FREE, NO_SMEARING
from bnnflow.units import HARTREE, KB

if TYPE_CHECKING:
    from bnnflow.reference.engine_cp2k import CP2KReference

INPUT, START = "cp2k.inp", "start.wfn"
RYDBERG = HARTREE / 2
_FUNCTIONAL_NAMES = {"LDA": "PADE"}

Lines = list[str]


def write_cp2k_input(settings: CP2KReference, structure: Structure, *, restarted: bool) -> str:
    """The text of `cp2k.inp`; forces and stress are printed with all their digits."""
    stress = bool(structure.pbc.all())
    lines = _section("GLOBAL", ["PROJECT cp2k", "RUN_TYPE ENERGY_FORCE", "PRINT_LEVEL MEDIUM"])
    body = ["METHOD QS", *(["STRESS_TENSOR ANALYTICAL"] if stress else [])]
    body += _section("DFT", _dft(settings, structure, restarted))
    body += _section("SUBSYS", _subsys(settings, structure))
    printed = _section("FORCES ON", ["NDIGITS 12"])
    printed += _section("STRESS_TENSOR ON", []) if stress else []
    body += _section("PRINT", printed)
    return "\n".join([*lines, *_section("FORCE_EVAL", body)]) + "\n"


def keep_start(directory: Path) -> None:
    """Set the orbitals aside for the next label, under one name with and without k-points."""
    for ending in ("wfn", "kp"):
        written = directory / f"cp2k-RESTART.{ending}"
        if written.is_file():
            written.replace(directory / START)


def _section(name: str, body: Lines) -> Lines:
    return [f"&{name}", *(f"  {line}" for line in body), f"&END {name.split()[0]}"]


def _dft(settings: CP2KReference, structure: Structure, restarted: bool) -> Lines:
    lines = [
        f"BASIS_SET_FILE_NAME {settings.folder / settings.basis_file}",
        f"POTENTIAL_FILE_NAME {settings.folder / settings.potential_file}",
        f"CHARGE {structure.charge}",
        f"MULTIPLICITY {structure.multiplicity if settings.spin != FREE else 0}",
    ]
    lines += ["UKS"] if settings.polarized(structure) else []
    lines += [f"WFN_RESTART_FILE_NAME {START}"] if restarted else []
    mesh = settings.mesh(structure)
    if mesh.size != (1, 1, 1):
        lines += _section("KPOINTS", [_scheme(mesh), "VERBOSE T", "EPS_GEO 1.0E-8"])
    cutoffs = (settings.cutoff_eV / RYDBERG, settings.relative_cutoff_eV / RYDBERG)
    lines += _section("MGRID", [f"CUTOFF {cutoffs[0]:.6f}", f"REL_CUTOFF {cutoffs[1]:.6f}"])
    lines += _section("QS", [f"EPS_DEFAULT {settings.eps_default:g}"])
    lines += _poisson(settings, structure)
    lines += _section("SCF", _scf(settings, structure, restarted))
    functional = _FUNCTIONAL_NAMES.get(settings.functional, settings.functional)
    lines += _section("XC", _section(f"XC_FUNCTIONAL {functional}", []))
    return lines + _section("PRINT", _section("KPOINTS ON", []))


def _scheme(mesh: Mesh) -> str:
    """CP2K's even meshes lie half a step off Gamma; this moves them where they are wanted."""
    moves = [
        0.0 if shift or number % 2 else 0.5 / number
        for number, shift in zip(mesh.size, mesh.shifts, strict=True)
    ]
    return "SCHEME MACDONALD " + " ".join(map(str, (*mesh.size, *moves)))


def _poisson(settings: CP2KReference, structure: Structure) -> Lines:
    if settings.assume_isolated == "none" or structure.pbc.any():
        return _section("POISSON", ["PERIODIC XYZ"])
    return _section("POISSON", ["PERIODIC NONE", "POISSON_SOLVER MT"])


def _scf(settings: CP2KReference, structure: Structure, restarted: bool) -> Lines:
    lines = [
        f"SCF_GUESS {'RESTART' if restarted else 'ATOMIC'}",
        f"EPS_SCF {settings.eps_scf:g}",
    ]
    if settings.solver == "ot":
        inner = max(1, settings.max_steps // 5)
        lines += [f"MAX_SCF {inner}"]
        lines += _section("OT", ["MINIMIZER DIIS", "PRECONDITIONER FULL_SINGLE_INVERSE"])
        return lines + _section("OUTER_SCF", ["MAX_SCF 5", f"EPS_SCF {settings.eps_scf:g}"])
    lines += [f"MAX_SCF {settings.max_steps}"]
    if settings.smearing != NO_SMEARING:
        lines += ["ADDED_MOS -1", *_section("SMEAR ON", _smear(settings, structure))]
    lines += _section("DIAGONALIZATION", ["ALGORITHM STANDARD"])
    mixing = ["METHOD BROYDEN_MIXING", f"ALPHA {settings.mixing_beta:g}"]
    return lines + _section("MIXING", mixing)


def _smear(settings: CP2KReference, structure: Structure) -> Lines:
    lines = [
        "METHOD FERMI_DIRAC",
        f"ELECTRONIC_TEMPERATURE [K] {settings.smearing_width_eV / KB:.8f}",
    ]
    if settings.polarized(structure) and settings.spin != FREE:
        lines.append(f"FIXED_MAGNETIC_MOMENT {structure.multiplicity - 1}")
    return lines


def _subsys(settings: CP2KReference, structure: Structure) -> Lines:
    isolated = settings.assume_isolated != "none" and not structure.pbc.any()
    cell = [
        f"{name} {' '.join(f'{value:.12f}' for value in row)}"
        for name, row in zip("ABC", settings.cell(structure), strict=True)
    ]
    lines = _section("CELL", [*cell, f"PERIODIC {'NONE' if isolated else 'XYZ'}"])
    rows = zip(structure.numbers, structure.positions, strict=True)
    lines += _section(
        "COORD",
        [f"{chemical_symbols[z]} {' '.join(f'{value:.12f}' for value in r)}" for z, r in rows],
    )
    for symbol, (basis, potential) in settings.kinds(structure).items():
        kind = [f"ELEMENT {symbol}", f"BASIS_SET {basis}", f"POTENTIAL {potential}"]
        start = settings.starting_magnetization.get(symbol, 0.0)
        kind += [f"MAGNETIZATION {start:g}"] if settings.spin == FREE else []
        lines += _section(f"KIND {symbol}", kind)
    return lines
