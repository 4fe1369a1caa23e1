"""Bond lengths over time.

Two ways to follow them. `bond_lengths` takes whatever neighbours are nearest in each frame: right
for a liquid, but sorting a vibrating octahedron frame by frame spreads its lengths even when all
are the same on average. `lasting_bond_lengths` follows the same bonds all along, so that they can
be averaged over time before they are sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bnnflow.analysis.motion.periodic import (
    MOST_NUMBERS,
    cartesian,
    continuous,
    half_height,
    images,
    neighbour_vectors,
)
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import StructureError
from bnnflow.records import FloatArray, IntArray

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Bonds:
    """Which atoms are bonded: c centres with k neighbours each, nearest first.

    centres: (c,); neighbours: (c, k) atoms; translations: (c, k, 3) lattice vectors that lead from
    the neighbour, followed without jumps from the first frame on, to its bonded image.
    """

    centres: IntArray
    neighbours: IntArray
    translations: IntArray


def bond_lengths(motion: Motion, centre: str, neighbour: str, *, count: int) -> FloatArray:
    """Lengths to the `count` nearest atoms of an element in each frame.

    centre, neighbour: elements. Returns (m, n_centres, count) Å, shortest first. Raises
    StructureError when there are fewer neighbours.
    """
    first, second = _species(motion, centre, neighbour, count)

    def search(reach: float) -> tuple[FloatArray, None]:
        parts = [
            _smallest(np.linalg.norm(vectors, axis=3), count)
            for vectors in neighbour_vectors(motion, first, second, reach)
        ]
        return np.concatenate(parts), None

    return _complete(search, half_height(motion.lattice, motion.pbc))[0]


def lasting_bonds(motion: Motion, centre: str, neighbour: str, *, count: int) -> Bonds:
    """The `count` nearest neighbours of each centre in the mean structure.

    centre, neighbour: elements. The mean structure has the mean fractional coordinates and the
    mean cell. Raises StructureError when there are fewer neighbours.
    """
    first, second = _species(motion, centre, neighbour, count)
    places, cell = continuous(motion).mean(axis=0), motion.lattice.mean(axis=0)
    apart = places[second] - places[first][:, None]
    home = np.where(motion.pbc, -np.rint(apart), 0.0).astype(np.int64)
    same = first[:, None] == second

    def search(reach: float) -> tuple[FloatArray, Bonds]:
        near = images(cell[None], motion.pbc, reach)
        translations = home[:, :, None] + near
        lengths = np.linalg.norm((apart[:, :, None] + translations) @ cell, axis=3)
        lengths[same[:, :, None] & ~translations.any(axis=3)] = np.inf
        flat = lengths.reshape(len(first), -1)
        order = np.argsort(flat, axis=1, kind="stable")[:, :count]
        rows = np.arange(len(first))[:, None]
        chosen = translations.reshape(len(first), -1, 3)[rows, order]
        return _padded(flat[rows, order], count), Bonds(first, second[order // len(near)], chosen)

    return _complete(search, half_height(cell[None], motion.pbc))[1]


def lasting_bond_lengths(motion: Motion, bonds: Bonds) -> FloatArray:
    """Lengths of the same bonds in every frame: (m, c, k) Å, in the order of `bonds`."""
    places = continuous(motion)
    lengths = np.empty((len(motion), *bonds.neighbours.shape))
    for rows in motion.stretches(MOST_NUMBERS // (3 * bonds.neighbours.size)):
        ends = places[rows][:, bonds.neighbours] + bonds.translations
        vectors = cartesian(ends - places[rows][:, bonds.centres, None], motion.lattice[rows])
        lengths[rows] = np.linalg.norm(vectors, axis=3)
    return lengths


def _species(motion: Motion, centre: str, neighbour: str, count: int) -> tuple[IntArray, IntArray]:
    first, second = motion.atoms_of(centre), motion.atoms_of(neighbour)
    there = len(second) - bool(np.isin(first, second).any())
    if not motion.pbc.any() and there < count:
        raise StructureError(
            f"{centre} has {there} {neighbour} atoms around it, expected {count}: ask for fewer"
        )
    return first, second


def _complete(
    search: Callable[[float], tuple[FloatArray, Found]], reach: float
) -> tuple[FloatArray, Found]:
    """Search further out until nothing nearer can have been missed."""
    while True:
        lengths, found = search(reach)
        longest = float(lengths.max())
        if longest <= reach:
            return lengths, found
        reach = min(longest, 2.0 * reach)


def _smallest(lengths: FloatArray, count: int) -> FloatArray:
    """The `count` smallest along the last axis, rising; infinite where there are fewer."""
    if lengths.shape[-1] > count:
        lengths = np.partition(lengths, count - 1, axis=-1)[..., :count]
    return _padded(np.sort(lengths, axis=-1), count)


def _padded(lengths: FloatArray, count: int) -> FloatArray:
    missing = [(0, 0)] * (lengths.ndim - 1) + [(0, count - lengths.shape[-1])]
    return np.pad(lengths, missing, constant_values=np.inf)
