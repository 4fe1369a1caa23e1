"""A structure as extxyz that reads back equal to the bit.

ASE writes eight decimals; here every number has as many digits as it takes to be that number.
"""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import chemical_symbols

from bnnflow.records import Structure


def extxyz_text(structure: Structure) -> str:
    """One frame of extxyz with cell, periodic directions, charge and multiplicity."""
    words = " ".join(f"{key}={value}" for key, value in _head(structure).items())
    return "\n".join([str(len(structure)), words, *_rows(structure), ""])


def _head(structure: Structure) -> dict[str, str]:
    lattice = {"Lattice": f'"{_numbers(structure.cell.ravel())}"'} if structure.cell.any() else {}
    return lattice | {
        "Properties": "species:S:1:pos:R:3",
        "pbc": '"{} {} {}"'.format(*("T" if each else "F" for each in structure.pbc)),
        "charge": str(structure.charge),
        "multiplicity": str(structure.multiplicity),
    }


def _rows(structure: Structure) -> Iterable[str]:
    for number, position in zip(structure.numbers, structure.positions, strict=True):
        yield f"{chemical_symbols[number]} {_numbers(position)}"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
