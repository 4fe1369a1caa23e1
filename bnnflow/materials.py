"""Structures by name or from a file, and the checks that must pass before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import neighbor_list

from bnnflow.crystals import BULK, CRYSTALS, simple_crystal
from bnnflow.errors import StructureError
from bnnflow.records import Structure

ALIASES: dict[str, str] = {
    "ethanol": "CH3CH2OH",
    "water": "H2O",
    "methanol": "CH3OH",
    "methane": "CH4",
    "ammonia": "NH3",
    "benzene": "C6H6",
}
"""Everyday names of molecules, and what ASE calls them."""

OVERLAP_FRACTION: float = 0.5
"""Two atoms overlap when they are closer than this share of the sum of their covalent radii."""


def load_structure(
    source: str,
    *,
    charge: int = 0,
    multiplicity: int = 1,
    repeat: tuple[int, int, int] = (1, 1, 1),
) -> Structure:
    """Build a structure from a molecule's name, an element's crystal or a file.

    source: a name in `ALIASES` or `crystals.CRYSTALS`, one that `ase.build.molecule` knows,
    `bulk:Si`, or the path of a file that ASE reads (xyz, extxyz, cif, POSCAR, ...) and that holds
    one frame. A name wins over a file; write ./NAME for the file. charge: total charge, e;
    multiplicity: 2S + 1; both of the whole. repeat: how often along each cell vector.

    Raises StructureError when the name is unknown or the file cannot be used.
    """
    atoms = _named(source) if is_structure_name(source) else _read_file(Path(source))
    if repeat != (1, 1, 1):
        atoms = repeated(atoms, source, repeat)
    return Structure.from_atoms(atoms, charge=charge, multiplicity=multiplicity)


def displaced(structure: Structure, *, std: float, seed: int) -> Structure:
    """The structure with normal displacements of its atoms. std: of each coordinate, Å.

    Raises StructureError when atoms overlap then.
    """
    if not std:
        return structure
    moves = std * np.random.default_rng(seed).standard_normal(structure.positions.shape)
    moved = replace(structure, positions=structure.positions + moves)
    _check_overlap(moved)
    return moved


def is_structure_name(source: str) -> bool:
    """Whether `source` names a molecule or crystal that needs no file."""
    crystal = source in CRYSTALS or source.startswith(BULK)
    return crystal or source in ALIASES or source in _molecule_names()


def check_material(
    structure: Structure, *, elements: Collection[int] | None = None, cutoff: float | None = None
) -> None:
    """Refuse atoms that cannot be simulated.

    elements: atomic numbers the model knows (None: not checked); cutoff: range of the model, Å; an
    atom with no neighbour inside it feels no force at all, which is nearly always a wrong unit.

    Raises StructureError: no atoms, positions that are not finite, a periodic direction without a
    cell vector, overlapping atoms, an element the model lacks, an electron count that does not fit
    the multiplicity, or an atom that no other atom reaches.
    """
    _check_numbers(structure)
    _check_cell(structure)
    _check_elements(structure, elements)
    _check_electrons(structure)
    _check_overlap(structure)
    if cutoff is not None:
        _check_reach(structure, cutoff)


def repeated(atoms: Atoms, source: str, repeat: tuple[int, int, int]) -> Atoms:
    """The atoms of several cells; raises StructureError along a direction that has no cell."""
    missing = [axis for axis in range(3) if repeat[axis] > 1 and not atoms.pbc[axis]]
    if missing:
        raise StructureError(
            f"repeat is {list(repeat)}, but {source} is not periodic along vector "
            f"{missing[0] + 1}: set 1 there, or give a periodic structure"
        )
    return atoms.repeat(repeat)


def read_frames(path: Path) -> list[Atoms]:
    """All frames of a file that ASE reads; raises StructureError."""
    from ase.io import read

    try:
        frames = read(path, index=":")
    except Exception as error:  # ASE's readers raise whatever their parsing ran into
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StructureError(
            f"{path} cannot be read as a structure ({reason}): give xyz, extxyz, cif or POSCAR"
        ) from error
    return list(frames)


def refuse_fixed(atoms: Atoms, source: str) -> None:
    """Raise StructureError for atoms that are held in place. source: names them in the message."""
    if atoms.constraints:
        raise StructureError(
            f"{source} fixes some atoms, but every atom moves here: remove the constraints"
        )


def unknown_name(source: str) -> str:
    """What to say of a name that nothing goes by, with the nearest that is known."""
    known = sorted(_molecule_names() | set(ALIASES) | set(CRYSTALS))
    near = difflib.get_close_matches(source, known, n=1, cutoff=0.6)
    hint = (
        f"did you mean {near[0]}?" if near else "give a path, or a name such as CH3CH2OH or bulk:Si"
    )
    return f"structure '{source}' is neither a file nor a molecule or crystal with a name: {hint}"


def _molecule_names() -> frozenset[str]:
    from ase.build.molecule import extra
    from ase.collections import g2

    return frozenset(g2.names) | frozenset(extra)


def _named(name: str) -> Atoms:
    from ase.build import molecule

    if name in CRYSTALS:
        return CRYSTALS[name]()
    if name.startswith(BULK):
        return simple_crystal(name)
    return molecule(ALIASES.get(name, name))


def _read_file(path: Path) -> Atoms:
    if not path.is_file():
        raise StructureError(unknown_name(str(path)))
    frames = read_frames(path)
    if len(frames) != 1:
        raise StructureError(
            f"{path} holds {len(frames)} frames, expected one: write the frame to start from "
            "to a file of its own"
        )
    refuse_fixed(frames[0], str(path))
    return frames[0]


def _check_numbers(structure: Structure) -> None:
    if len(structure) == 0:
        raise StructureError("the structure holds no atoms, expected at least one: check the file")
    bad = np.flatnonzero(~np.isfinite(structure.positions).all(axis=1))
    if len(bad):
        raise StructureError(
            f"the position of {_name(structure, bad[0])} is not finite, expected x, y, z in Å: "
            "check the file"
        )
    unknown = np.flatnonzero((structure.numbers < 1) | (structure.numbers >= len(chemical_symbols)))
    if len(unknown):
        raise StructureError(
            f"atom {unknown[0]} has atomic number {structure.numbers[unknown[0]]}, "
            "expected an element: check the file"
        )


def _check_cell(structure: Structure) -> None:
    if not np.isfinite(structure.cell).all():
        raise StructureError("the cell is not finite, expected three vectors in Å: check the file")
    vectors = structure.cell[structure.pbc]
    if len(vectors) and np.linalg.matrix_rank(vectors) < len(vectors):
        raise StructureError(
            f"{len(vectors)} directions are periodic but their cell vectors span no volume: "
            "give the cell in Å, or make the structure non-periodic"
        )


def _check_elements(structure: Structure, elements: Collection[int] | None) -> None:
    if elements is None:
        return
    lacking = sorted(set(structure.numbers.tolist()) - set(elements))
    if lacking:
        raise StructureError(
            f"the model lacks {_symbols(lacking)}, it knows {_symbols(sorted(elements))}: "
            "choose another model (bnnflow model list) or another material"
        )


def _check_electrons(structure: Structure) -> None:
    electrons = int(structure.numbers.sum()) - structure.charge
    unpaired = structure.multiplicity - 1
    if unpaired < 0 or electrons < max(unpaired, 1):
        raise StructureError(
            f"{electrons} electrons cannot have multiplicity {structure.multiplicity}: "
            "correct material.charge or material.multiplicity"
        )
    if (electrons - unpaired) % 2:
        kind, fitting = ("odd", "an even") if electrons % 2 else ("even", "an odd")
        raise StructureError(
            f"{electrons} electrons are an {kind} number and need {fitting} multiplicity, not "
            f"{structure.multiplicity}: set material.multiplicity (2S+1) or material.charge"
        )


def _check_overlap(structure: Structure) -> None:
    radii = OVERLAP_FRACTION * covalent_radii[structure.numbers]
    first, second, distances = neighbor_list("ijd", structure.to_atoms(), radii)
    if len(distances):
        nearest = int(np.argmin(distances))
        pair = f"{_name(structure, first[nearest])} and {_name(structure, second[nearest])}"
        raise StructureError(
            f"{pair} are {distances[nearest]:.2f} Å apart and overlap, expected at least "
            f"{radii[first[nearest]] + radii[second[nearest]]:.2f} Å: check positions, units (Å) "
            "and cell"
        )


def _check_reach(structure: Structure, cutoff: float) -> None:
    reached = np.unique(neighbor_list("i", structure.to_atoms(), cutoff))
    alone = np.setdiff1d(np.arange(len(structure)), reached)
    if len(alone):
        raise StructureError(
            f"{_name(structure, alone[0])} has no neighbour within the model's range of "
            f"{cutoff:g} Å and would feel no force: check positions, units (Å) and cell"
        )


def _name(structure: Structure, index: int) -> str:
    """Atom's number, as the file counts from 0, and its symbol."""
    return f"atom {index} ({chemical_symbols[structure.numbers[index]]})"


def _symbols(numbers: Collection[int]) -> str:
    return ", ".join(chemical_symbols[number] for number in numbers)
