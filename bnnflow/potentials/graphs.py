"""Structures as padded graphs, so that frames of unequal size share one batch (DECISIONS 14).

Every frame holds n atoms, the largest number of its set, and every atom D neighbours, likewise;
edge i leads to atom i // D, so that a sum over neighbours is a sum along an axis. A padding atom
has an all-zero species row and zero weight in every sum; a padding edge joins an atom to itself
over twice the cutoff, where no network sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from mace.data.neighborhood import get_neighborhood
from torch import Tensor

from bnnflow.errors import StructureError
from bnnflow.records import Structure


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """B frames as tensors; with a leading axis k, one set of B frames for each member.

    positions: (B, n, 3) Å; species: (B, n, n_elements) one-hot; mask: (B, n) 1 for atoms, 0 for
    padding; edges: (B, 2, n D) sender and receiver within the frame, by receiver;
    shifts: (B, n D, 3) Å;
    volume: (B,) Å³, 1 for open systems; atomic_energy: (B,) eV, float64.
    """

    positions: Tensor
    species: Tensor
    mask: Tensor
    edges: Tensor
    shifts: Tensor
    volume: Tensor
    atomic_energy: Tensor

    def to(self, device: torch.device) -> GraphBatch:
        """The same frames on a device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})

    def take(self, index: Tensor) -> GraphBatch:
        """Frames (k, b) of a set of B, as one set of b frames for each of k members."""
        return replace(self, **{name: value[index] for name, value in vars(self).items()})


def collate(
    structures: Sequence[Structure],
    *,
    elements: tuple[int, ...],
    cutoff: float,
    dtype: torch.dtype,
    atomic_energy: Callable[[int], float],
) -> GraphBatch:
    """Build the padded graphs of some structures.

    elements: atomic numbers of the potential, in its order; cutoff: Å. Raises StructureError for
    an element the potential lacks.
    """
    graphs = [neighbours(structure, cutoff) for structure in structures]
    n_atoms = max(len(structure) for structure in structures)
    counts = [np.bincount(edges[1], minlength=1) for edges, _ in graphs]
    n_near = max(1, *(int(count.max()) for count in counts))
    rows = [
        _pad(s, g, elements, n_atoms, n_near, cutoff)
        for s, g in zip(structures, graphs, strict=True)
    ]
    columns = [torch.as_tensor(np.stack(column)) for column in zip(*rows, strict=True)]
    positions, species, mask, edges, shifts, volume = columns
    energy = [sum(atomic_energy(int(z)) for z in structure.numbers) for structure in structures]
    return GraphBatch(
        positions=positions.to(dtype),
        species=species.to(dtype),
        mask=mask.to(dtype),
        edges=edges,
        shifts=shifts.to(dtype),
        volume=volume.to(dtype),
        atomic_energy=torch.tensor(energy, dtype=torch.float64),
    )


def neighbours(structure: Structure, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges (2, e) sender and receiver, and Cartesian shifts (e, 3) in Å, of all pairs in reach."""
    periodic = tuple(bool(flag) for flag in structure.pbc)
    cell = structure.cell.copy() if any(periodic) else None
    edges, shifts, _, _ = get_neighborhood(structure.positions, cutoff, periodic, cell)
    return np.asarray(edges), np.asarray(shifts)


def _pad(
    structure: Structure,
    graph: tuple[np.ndarray, np.ndarray],
    elements: tuple[int, ...],
    n_atoms: int,
    n_near: int,
    cutoff: float,
) -> tuple[np.ndarray, ...]:
    edges, shifts = graph
    real = len(structure)
    positions = np.zeros((n_atoms, 3))
    positions[:real] = structure.positions
    species = np.zeros((n_atoms, len(elements)))
    species[np.arange(real), _species(structure, elements)] = 1.0
    mask = (np.arange(n_atoms) < real).astype(float)
    receivers = np.repeat(np.arange(n_atoms), n_near)
    padded_edges = np.stack([receivers, receivers])
    padded_shifts = np.tile([2.0 * cutoff, 0.0, 0.0], (n_atoms * n_near, 1))
    order = np.argsort(edges[1], kind="stable")
    sender, receiver = edges[:, order]
    rank = np.arange(len(order)) - np.searchsorted(receiver, receiver)
    padded_edges[0, receiver * n_near + rank] = sender
    padded_shifts[receiver * n_near + rank] = shifts[order]
    volume = abs(np.linalg.det(structure.cell)) if structure.pbc.all() else 1.0
    return positions, species, mask, padded_edges, padded_shifts, np.array(volume)


def _species(structure: Structure, elements: tuple[int, ...]) -> list[int]:
    missing = sorted(set(structure.numbers.tolist()) - set(elements))
    if missing:
        raise StructureError(
            f"the model knows no element with atomic number {missing}: expected {list(elements)}; "
            "choose a model trained on these elements"
        )
    return [elements.index(int(number)) for number in structure.numbers]
