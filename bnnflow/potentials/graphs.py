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
from torch import Tensor

from bnnflow.errors import StructureError
from bnnflow.potentials.neighbours import Neighbours, neighbours
from bnnflow.records import Structure


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """B frames as tensors; with a leading axis k, one set of B frames for each member.

    positions: (B, n, 3) Å; species: (B, n, n_elements) one-hot; mask: (B, n) 1 for atoms, 0 for
    padding; edges: (B, 2, n D) sender and receiver within the frame, by receiver;
    shifts: (B, n D, 3) Å; pair: (B, n D) the pair of atoms and images that an edge joins, the same
    for both directions; first: (B, n_pairs) one edge of each pair;
    volume: (B,) Å³, 1 for open systems; atomic_energy: (B,) eV, float64.
    """

    positions: Tensor
    species: Tensor
    mask: Tensor
    edges: Tensor
    shifts: Tensor
    pair: Tensor
    first: Tensor
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
    return padded(
        structures,
        [neighbours(structure, cutoff) for structure in structures],
        elements=elements,
        cutoff=cutoff,
        dtype=dtype,
        atomic_energy=atomic_energy,
    )


def padded(
    structures: Sequence[Structure],
    lists: Sequence[Neighbours],
    *,
    elements: tuple[int, ...],
    cutoff: float,
    dtype: torch.dtype,
    atomic_energy: Callable[[int], float],
) -> GraphBatch:
    """Graphs of some structures with their neighbours given, sorted by receiver; see `collate`."""
    n_atoms = max(len(structure) for structure in structures)
    n_near = max(1, *(one.most() for one in lists))
    rows = [one.in_rows(n_atoms, n_near, cutoff) for one in lists]
    n_pairs = max(len(row.first) for row in rows)
    atoms = [_pad(structure, elements, n_atoms) for structure in structures]
    positions, species, mask, volume = (_stack(column) for column in zip(*atoms, strict=True))
    energy = [sum(atomic_energy(int(z)) for z in structure.numbers) for structure in structures]
    return GraphBatch(
        positions=positions.to(dtype),
        species=species.to(dtype),
        mask=mask.to(dtype),
        edges=_stack([row.edges for row in rows]),
        shifts=_stack([row.shifts for row in rows]).to(dtype),
        pair=_stack([row.pair for row in rows]),
        first=_stack([np.resize(row.first, n_pairs) for row in rows]),
        volume=volume.to(dtype),
        atomic_energy=torch.tensor(energy, dtype=torch.float64),
    )


def _stack(rows: Sequence[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.stack(rows))


def _pad(
    structure: Structure, elements: tuple[int, ...], n_atoms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, species, mask and volume of one frame."""
    real = len(structure)
    positions = np.zeros((n_atoms, 3))
    positions[:real] = structure.positions
    species = np.zeros((n_atoms, len(elements)))
    species[np.arange(real), _species(structure, elements)] = 1.0
    mask = (np.arange(n_atoms) < real).astype(float)
    volume = abs(np.linalg.det(structure.cell)) if structure.pbc.all() else 1.0
    return positions, species, mask, np.array(volume)


def _species(structure: Structure, elements: tuple[int, ...]) -> list[int]:
    missing = sorted(set(structure.numbers.tolist()) - set(elements))
    if missing:
        raise StructureError(
            f"the model knows no element with atomic number {missing}: expected {list(elements)}; "
            "choose a model trained on these elements"
        )
    return [elements.index(int(number)) for number in structure.numbers]
