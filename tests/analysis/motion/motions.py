"""Trajectories made up so that what they hold is known."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from bnnflow.analysis.motion.trajectory import Motion

SKEWED = np.array([[3.0, 0.0, 0.0], [2.2, 3.1, 0.0], [-1.4, 1.3, 2.9]])
"""A cell of small angles, in which wrapping does not give the nearest image."""


def motion(
    symbols: list[str] | str,
    positions: np.ndarray,
    cell: np.ndarray | float | None = None,
    *,
    timestep: float = 1.0,
    pbc: tuple[bool, bool, bool] = (True, True, True),
) -> Motion:
    """positions: (m, n, 3); cell: (m, 3, 3), (3, 3), an edge, or None for a molecule."""
    m = len(positions)
    if cell is None:
        cell, pbc = np.zeros((3, 3)), (False, False, False)
    cells = np.broadcast_to(np.eye(3) * cell if np.ndim(cell) == 0 else cell, (m, 3, 3)).copy()
    names = [symbols] * positions.shape[1] if isinstance(symbols, str) else symbols
    numbers = np.array([atomic_numbers[name] for name in names], dtype=np.int64)
    return Motion(numbers, positions, cells, np.array(pbc), timestep * np.arange(m))


def still(atoms: Atoms, frames: int = 2) -> Motion:
    """The same atoms in every frame."""
    places = np.broadcast_to(atoms.positions, (frames, *atoms.positions.shape)).copy()
    return motion(list(atoms.symbols), places, atoms.cell.array, pbc=tuple(atoms.pbc))


def wrapped(given: Motion) -> np.ndarray:
    """Positions folded into the cell of each frame."""
    coordinates = np.einsum("mnx,mxy->mny", given.positions, np.linalg.inv(given.lattice))
    return np.einsum("mnx,mxy->mny", coordinates % 1.0, given.lattice)


def random_walk(
    frames: int, atoms: int, *, diffusion: float, seed: int, timestep: float = 1.0
) -> np.ndarray:
    """(frames, atoms, 3) Å: steps of variance 2 D dt along each axis."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(scale=np.sqrt(2.0 * diffusion * timestep), size=(frames, atoms, 3))
    return np.cumsum(steps, axis=0)
