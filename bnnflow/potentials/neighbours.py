"""Neighbour lists in rows: D slots for every atom, and one number for both directions of a pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mace.data.neighborhood import get_neighborhood
from numpy.typing import NDArray

from bnnflow.records import FloatArray, Structure

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Edges of one structure, sorted by receiver.

    edges: (2, e) sender and receiver; shifts: (e, 3) Å; pair: (e,) number of the pair that an edge
    joins, counting images; first: (n_pairs,) an edge of each pair.
    """

    edges: IntArray
    shifts: FloatArray
    pair: IntArray
    first: IntArray

    def most(self) -> int:
        """Neighbours of the atom that has most."""
        return int(np.bincount(self.edges[1]).max(initial=0))

    def in_rows(self, n_atoms: int, n_near: int, cutoff: float) -> Neighbours:
        """The same with n_near edges for each of n_atoms atoms, and room for n_atoms n_near / 2
        pairs and one more, which is that of all padding edges (twice the cutoff, Å, long)."""
        receivers = np.repeat(np.arange(n_atoms), n_near)
        edges = np.stack([receivers, receivers])
        shifts = np.tile([2.0 * cutoff, 0.0, 0.0], (len(receivers), 1))
        pair = np.full(len(receivers), len(self.first))
        receiver = self.edges[1]
        slot = receiver * n_near + np.arange(len(receiver)) - np.searchsorted(receiver, receiver)
        edges[0, slot], shifts[slot], pair[slot] = self.edges[0], self.shifts, self.pair
        padding = np.flatnonzero(pair == len(self.first))[:1]
        return Neighbours(edges, shifts, pair, np.concatenate([slot[self.first], padding]))


def neighbours(structure: Structure, cutoff: float) -> Neighbours:
    """All neighbours within the cutoff, Å, images included."""
    periodic = tuple(bool(flag) for flag in structure.pbc)
    cell = structure.cell.copy() if any(periodic) else None
    edges, shifts, units, _ = get_neighborhood(structure.positions, cutoff, periodic, cell)
    order = np.argsort(edges[1], kind="stable")
    edges, units = edges[:, order], units[order].astype(np.int64)
    key = _pair_key(edges, units)
    _, first, pair = np.unique(key, return_index=True, return_inverse=True)
    return Neighbours(edges, shifts[order], pair.reshape(-1), first)


def _pair_key(edges: IntArray, units: IntArray) -> IntArray:
    """One number for an edge and its reverse. units: (e, 3) cells between sender and receiver."""
    sides = 1 + edges.max(initial=0), 1 + 2 * np.abs(units).max(initial=0)
    return np.minimum(_code(edges, units, *sides), _code(edges[::-1], -units, *sides))


def _code(edges: IntArray, units: IntArray, n_atoms: int, n_cells: int) -> IntArray:
    code: IntArray = edges[0] * n_atoms + edges[1]
    for column in (units + n_cells // 2).T:
        code = code * n_cells + column
    return code
