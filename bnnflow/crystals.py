"""Crystals by name: of an element, and those of the papers, built from published cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import get_distances
from ase.spacegroup import crystal

from bnnflow.errors import StructureError
from bnnflow.records import FloatArray

BULK = "bulk:"
"""Before an element's symbol: its crystal, in the conventional cell where that is cubic."""

_PNMA = 62
_SULPHUR = 16
_BOND_H_S = 1.35
"""Å, length of an S-H bond."""


def simple_crystal(name: str) -> Atoms:
    """ASE's crystal of an element at its experimental lattice constant. name: such as bulk:Si.

    Raises StructureError when ASE knows none.
    """
    symbol = name.removeprefix(BULK)
    try:
        primitive = bulk(symbol)
    except (KeyError, ValueError, RuntimeError) as error:
        raise StructureError(
            f"structure '{name}' is not a crystal that ASE knows, expected {BULK} and the symbol "
            "of an element that is a simple solid, such as bulk:Si: give a file for others"
        ) from error
    try:
        return bulk(symbol, cubic=True)
    except (ValueError, RuntimeError):  # not cubic
        return primitive


def lanthanum_manganite() -> Atoms:
    """LaMnO3, 40 atoms: 2x2x2 of the cubic perovskite's cell, with its distortions at 300 K.

    Cell and positions (Pnma): neutron diffraction of Rodriguez-Carvajal et al., Phys. Rev. B 57,
    R3189 (1998), which finds Mn-O lengths of 1.907, 1.968 and 2.178 Å. The cell is triangular, as
    npt dynamics need it.
    """
    unit = crystal(
        ("La", "Mn", "O", "O"),
        [(0.0490, 0.25, -0.0078), (0, 0, 0.5), (0.4874, 0.25, 0.0745), (0.3066, 0.0384, 0.7256)],
        spacegroup=_PNMA,
        cellpar=[5.7473, 7.6929, 5.5367, 90, 90, 90],
    )
    return _upright(make_supercell(unit, [[1, 0, 1], [0, 1, 0], [-1, 0, 1]]))


def calcium_zirconium_sulphide() -> Atoms:
    """CaZrS3 with two protons, 162 atoms: 2x2x2 of the orthorhombic cell.

    Cell: that of the published input of [R26]; positions of the GdFeO3 type (Pnma): relaxed with
    PBE. Each proton is bound to a sulphur atom, on its most open side, far from the other. Their
    charge, +2, belongs into material.charge.
    """
    unit = crystal(
        ("Ca", "Zr", "S", "S"),
        [(0.4076, 0.25, 0.5332), (0, 0, 0.5), (0.0343, 0.25, 0.3756), (0.8091, 0.5637, 0.1836)],
        spacegroup=_PNMA,
        cellpar=[7.0681, 9.6418, 6.5729, 90, 90, 90],
    )
    host = _plain(unit.repeat(2))
    sulphurs = np.flatnonzero(host.numbers == _SULPHUR)
    first = int(sulphurs[0])
    second = int(sulphurs[np.argmax(host.get_distances(first, sulphurs, mic=True))])
    protons = [_beside(host, index) for index in (first, second)]
    return host + Atoms("H2", positions=protons)


CRYSTALS: Mapping[str, Callable[[], Atoms]] = {
    "LaMnO3-2x2x2": lanthanum_manganite,
    "CaZrS3-2H": calcium_zirconium_sulphide,
}
"""Name -> crystal."""


def _beside(host: Atoms, index: int) -> FloatArray:
    """The place at a bond's length from an atom that is farthest from all others."""
    places = host.positions[index] + _BOND_H_S * _directions(500)
    others = np.delete(host.positions, index, axis=0)
    _, distances = get_distances(places, others, cell=host.cell, pbc=True)
    return np.asarray(places[np.argmax(distances.min(axis=1))], dtype=np.float64)


def _directions(count: int) -> FloatArray:
    """(count, 3) unit vectors spread evenly: points of a spiral in steps of the golden angle."""
    index = np.arange(count) + 0.5
    height, angle = 1.0 - 2.0 * index / count, np.pi * (1.0 + 5.0**0.5) * index
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def _upright(atoms: Atoms) -> Atoms:
    """The same crystal, turned until its cell is a triangular matrix."""
    turned = _plain(atoms)
    turned.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    return turned


def _plain(atoms: Atoms) -> Atoms:
    """Without what ASE knows of the space group."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
