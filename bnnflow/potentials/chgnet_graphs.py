"""Padded graphs for CHGNet: each atom's neighbours nearest first, and which of them are bonds.

The atom graph holds all neighbours within 6 Å; within 3 Å they are the bonds whose angles make the
bond graph. An atom's bonds are its first slots, so that both graphs are slices of one array. A bond
has one feature vector whichever end looks at it: `reverse` leads from an edge to the same pair of
atoms and images seen from the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnflow.potentials.graphs import GraphBatch, padded
from bnnflow.potentials.neighbours import IntArray, Neighbours, neighbours
from bnnflow.records import FloatArray, Structure


@dataclass(frozen=True, eq=False)
class BondGraphBatch(GraphBatch):
    """B frames of n atoms with D neighbours, the first b of which may be bonds.

    reverse: (B, n D) the edge from the other end, padding edges their own; bond_reverse: (B, n b)
    the same among the first b edges of every atom, their own where no bond; is_bond: (B, n, b) 1
    for a bond.
    """

    reverse: Tensor
    bond_reverse: Tensor
    is_bond: Tensor


def collate_bonds(
    structures: Sequence[Structure],
    *,
    elements: tuple[int, ...],
    cutoff: float,
    bond_cutoff: float,
    dtype: torch.dtype,
    atomic_energy: Callable[[int], float],
) -> BondGraphBatch:
    """Build the padded graphs of some structures; arguments as of `graphs.collate`.

    bond_cutoff: Å. Raises StructureError for an element the potential lacks.
    """
    lists = [_nearest_first(structure, cutoff) for structure in structures]
    graphs = padded(
        structures,
        [one for one, _ in lists],
        elements=elements,
        cutoff=cutoff,
        dtype=dtype,
        atomic_energy=atomic_energy,
    )
    n_atoms = graphs.positions.shape[1]
    n_bonds = [_bonds(one, lengths < bond_cutoff, n_atoms) for one, lengths in lists]
    slots = np.arange(max(1, *(int(count.max()) for count in n_bonds)))
    is_bond = np.stack([slots < count[:, None] for count in n_bonds])
    pairs = zip(graphs.pair.numpy(), lists, strict=True)
    reverse = np.stack([_reverse(pair, len(one.first)) for pair, (one, _) in pairs])
    return BondGraphBatch(
        **vars(graphs),
        reverse=torch.as_tensor(reverse),
        bond_reverse=torch.as_tensor(_among_bonds(reverse, is_bond)),
        is_bond=torch.as_tensor(is_bond).to(dtype),
    )


def _nearest_first(structure: Structure, cutoff: float) -> tuple[Neighbours, FloatArray]:
    """Neighbours by receiver and then by length, and the lengths (e,) Å, the same both ways."""
    found = neighbours(structure, cutoff)
    sender, receiver = found.edges
    vectors = structure.positions[receiver] - structure.positions[sender] + found.shifts
    lengths = np.linalg.norm(vectors, axis=1)[found.first][found.pair]
    order = np.lexsort((lengths, receiver))
    place = np.argsort(order)
    ordered = Neighbours(
        found.edges[:, order], found.shifts[order], found.pair[order], place[found.first]
    )
    return ordered, lengths[order]


def _bonds(one: Neighbours, near: NDArray[np.bool_], n_atoms: int) -> IntArray:
    """(n_atoms,) number of bonds of every atom."""
    return np.bincount(one.edges[1][near], minlength=n_atoms)


def _reverse(pair: IntArray, n_pairs: int) -> IntArray:
    """(n D,) the other edge of the same pair, an edge's own where it is padding or alone."""
    reverse = np.arange(len(pair))
    both = np.flatnonzero((np.bincount(pair)[pair] == 2) & (pair < n_pairs))
    first, second = both[np.argsort(pair[both], kind="stable")].reshape(-1, 2).T
    reverse[first], reverse[second] = second, first
    return reverse


def _among_bonds(reverse: IntArray, is_bond: NDArray[np.bool_]) -> IntArray:
    """(B, n b) indices among n D edges to indices among the first b of each row."""
    n_frames, n_atoms, n_bonds = is_bond.shape
    n_near = reverse.shape[1] // n_atoms
    row, slot = np.divmod(reverse.reshape(n_frames, n_atoms, n_near)[:, :, :n_bonds], n_near)
    own = np.arange(n_atoms * n_bonds).reshape(n_atoms, n_bonds)
    return np.where(is_bond, row * n_bonds + slot, own).reshape(n_frames, -1)
