"""Atoms over time: what the analysis of motion works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import complete_cell
from numpy.typing import NDArray

from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import FloatArray, IntArray

EVERYTHING = "all"
"""The species that stands for every atom."""


@dataclass(frozen=True, eq=False)
class Motion:
    """m frames of n atoms, evenly spaced in time.

    numbers: (n,) atomic numbers; positions: (m, n, 3) Å, wrapped into the cell or not; cells:
    (m, 3, 3) Å, one vector per row; pbc: (3,) periodic directions; times: (m,) fs, rising.
    """

    numbers: IntArray
    positions: FloatArray
    cells: FloatArray
    pbc: NDArray[np.bool_]
    times: FloatArray

    def __post_init__(self) -> None:
        m, n = len(self.times), len(self.numbers)
        if self.positions.shape != (m, n, 3) or self.cells.shape != (m, 3, 3):
            raise StructureError(
                f"positions {self.positions.shape} and cells {self.cells.shape} do not fit {m} "
                f"times and {n} atoms: give one frame per time and one row per atom"
            )
        if m < 2:
            raise StructureError(f"found {m} frames, expected at least 2: let the MD go on first")
        steps = np.diff(self.times)
        if not (steps[0] > 0.0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0.0)):
            raise StructureError(
                f"time between frames goes from {steps.min():g} to {steps.max():g} fs, expected "
                "equal steps: leave out the frames that do not fit"
            )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def timestep(self) -> float:
        """Time between two frames, fs."""
        return float(self.times[1] - self.times[0])

    @cached_property
    def lattice(self) -> FloatArray:
        """(m, 3, 3) Å, the cells with vectors of their own in directions that are not periodic."""
        lengths = np.linalg.norm(self.cells, axis=2)
        if np.any(self.pbc & (lengths == 0.0)):
            raise StructureError("a periodic direction has no cell vector: give the cell")
        if not self.pbc.any():
            return np.broadcast_to(np.eye(3), self.cells.shape)
        if np.all(lengths > 0.0):
            return self.cells
        return np.array([complete_cell(cell) for cell in self.cells])

    @property
    def masses(self) -> FloatArray:
        """(n,) standard atomic masses, u."""
        return np.asarray(atomic_masses[self.numbers], dtype=np.float64)

    def atoms_of(self, species: str) -> IntArray:
        """Indices of the atoms of an element ("all": of every atom).

        Raises ConfigError when it is no element, StructureError when there is no such atom.
        """
        if species == EVERYTHING:
            return np.arange(len(self.numbers))
        if species not in atomic_numbers:
            raise ConfigError(f"{species!r} is no element: write its symbol, such as Mn, or all")
        found = np.flatnonzero(self.numbers == atomic_numbers[species])
        if not len(found):
            raise StructureError(f"found no {species} atom: name an element of the material")
        return found

    def rows(self, rows: slice) -> Motion:
        """The same atoms at fewer frames, as views of the arrays."""
        return replace(
            self, positions=self.positions[rows], cells=self.cells[rows], times=self.times[rows]
        )

    def between(self, first_fs: float, last_fs: float, every: int = 1) -> Motion:
        """Frames with first_fs <= time <= last_fs, every n-th of them.

        Raises StructureError when fewer than two are left.
        """
        slack = 1e-6 * self.timestep
        start, stop = np.searchsorted(self.times, [first_fs - slack, last_fs + slack])
        return self.rows(slice(int(start), int(stop), every))

    def stretches(self, size: int) -> Iterator[slice]:
        """Slices of at most `size` frames that cover all frames, in order."""
        step = max(1, size)
        return (slice(start, start + step) for start in range(0, len(self), step))
