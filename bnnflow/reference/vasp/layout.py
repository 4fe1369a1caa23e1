"""How a structure lies in VASP's files: sorted by species, in a cell; and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bnnflow.errors import StructureError
from bnnflow.records import FloatArray, IntArray, Structure

Number = TypeVar("Number", np.float64, np.int64)


@dataclass(frozen=True, eq=False)
class Layout:
    """A structure as POSCAR holds it.

    order: (n_atoms,) the atom of the structure that stands in each line; species, counts: in order
    of first appearance; cell: (3, 3) Å; scaled: (n_atoms, 3) in units of its vectors, sorted.
    """

    structure: Structure
    order: IntArray
    species: tuple[str, ...]
    counts: tuple[int, ...]
    cell: FloatArray
    scaled: FloatArray

    def poscar(self) -> str:
        """The POSCAR file, with all digits of a double."""
        lines = [
            " ".join(f"{s}{n}" for s, n in zip(self.species, self.counts, strict=True)),
            "1.0",
            *(_row(vector) for vector in self.cell),
            " ".join(self.species),
            " ".join(map(str, self.counts)),
            "Direct",
            *(_row(position) for position in self.scaled),
        ]
        return "\n".join(lines) + "\n"

    def unsorted(self, values: NDArray[Number]) -> NDArray[Number]:
        """Rows in VASP's order -> rows in the structure's."""
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def came_back(
        self, elements: tuple[str, ...], cell: FloatArray, scaled: FloatArray
    ) -> Structure:
        """The structure that VASP says it calculated, in the order and place of the one sent.

        elements, scaled: of every line of its output; an atom wrapped into the cell counts as the
        image nearest to where it was sent.
        """
        numbers = np.array([_number(name) for name in elements], dtype=np.int64)
        if len(numbers) != len(self.order) or len(scaled) != len(self.order):
            return replace(self.structure, numbers=numbers, positions=scaled @ cell)
        nearest = scaled - np.round(scaled - self.scaled)
        moved = self.unsorted(nearest @ cell - self.scaled @ self.cell)
        return replace(
            self.structure,
            numbers=self.unsorted(numbers),
            positions=self.structure.positions + moved,
            cell=cell if self.structure.pbc.any() else self.structure.cell,
        )


def lay_out(structure: Structure, *, box_A: float | None = None) -> Layout:
    """Sort the atoms and give them a cell; a molecule is put into the middle of a cubic box.

    box_A: edge of that box, Å. Raises StructureError: no cell, or a left-handed one.
    """
    cell, positions = _in_cell(structure, box_A)
    symbols = [chemical_symbols[number] for number in structure.numbers]
    species = tuple(dict.fromkeys(symbols))
    order = np.argsort([species.index(symbol) for symbol in symbols], kind="stable")
    return Layout(
        structure=structure,
        order=np.asarray(order, dtype=np.int64),
        species=species,
        counts=tuple(symbols.count(name) for name in species),
        cell=cell,
        scaled=np.asarray(np.linalg.solve(cell.T, positions[order].T).T, dtype=np.float64),
    )


def _in_cell(structure: Structure, box: float | None) -> tuple[FloatArray, FloatArray]:
    """Cell and positions, which only the box moves."""
    if not structure.pbc.any() and box is not None:
        centre = 0.5 * (structure.positions.min(axis=0) + structure.positions.max(axis=0))
        size = float(np.ptp(structure.positions, axis=0).max())
        if size >= box:
            raise StructureError(
                f"the molecule is {size:.3g} Å long and box_A is {box:g}: make the box larger"
            )
        return box * np.eye(3), structure.positions - centre + 0.5 * box
    volume = float(np.linalg.det(structure.cell))
    if abs(volume) < 1e-6:
        raise StructureError(
            "the structure has no cell, but VASP calculates periodic cells: set box_A for a "
            "molecule, or give three cell vectors"
        )
    if volume < 0:
        raise StructureError(
            "the cell vectors are left-handed, which VASP refuses: exchange two of them"
        )
    return structure.cell, structure.positions


def _number(name: str) -> int:
    return chemical_symbols.index(name) if name in chemical_symbols else 0


def _row(vector: FloatArray) -> str:
    return " ".join(f"{value:22.16f}" for value in vector)
