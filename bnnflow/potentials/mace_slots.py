"""Atoms sorted by element, so that what depends on the element is one matrix product for each.

Every element present has the same number of slots, that of its most frequent atom; a slot that no
atom needs repeats atom 0 and nobody reads it. Padding atoms count as the first element: no edge
leads from them to others, and their energy has no weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.potentials.graphs import GraphBatch


@dataclass(frozen=True, eq=False)
class Slots:
    """Where the atoms of k sets of graphs are; N atoms and M edges in each set.

    present: (n_elements,) positions among the model's elements; element, slot: (k N,) of every
    atom, and sender_element, sender_slot: (k M,) of every edge, all counted through the sets;
    atom: (k n_elements rows,) the atom in each slot; rows: slots of one element; pair: (k M,) of
    every edge, first: (k n_pairs,) an edge of each pair, counted through the sets.
    """

    present: Tensor
    slot: Tensor
    atom: Tensor
    sender_element: Tensor
    sender_slot: Tensor
    rows: int
    pair: Tensor
    first: Tensor


def slots(batch: GraphBatch, members: int) -> Slots:
    """Sort the atoms of a batch, shared by the members or one for each."""
    species = batch.species.flatten(-3, -2)
    species = species if species.ndim == 3 else species.unsqueeze(0)
    n_atoms = species.shape[1]
    present = species.sum((0, 1)).nonzero().flatten()
    kind = species[..., present]
    element = kind.argmax(-1)
    counted = torch.nn.functional.one_hot(element, len(present))
    rank = counted.cumsum(1).gather(2, element.unsqueeze(-1)).squeeze(-1) - 1
    rows = int(counted.sum(1).max())
    slot = element * rows + rank
    atom = slot.new_zeros(len(slot), len(present) * rows)
    atom.scatter_(1, slot, torch.arange(n_atoms, device=slot.device).expand_as(slot))
    sender = _in_set(batch.edges[..., 0, :], batch.positions.shape[-2])
    return Slots(
        present=present,
        slot=_through(slot, len(present) * rows, members),
        atom=_through(atom, n_atoms, members),
        sender_element=_through(element.gather(1, sender), len(present), members),
        sender_slot=_through(slot.gather(1, sender), len(present) * rows, members),
        rows=rows,
        pair=_through(_in_set(batch.pair, batch.first.shape[-1]), _size(batch.first), members),
        first=_through(_in_set(batch.first, batch.pair.shape[-1]), _size(batch.pair), members),
    )


def _size(index: Tensor) -> int:
    return index.shape[-2] * index.shape[-1]


def _in_set(index: Tensor, size: int) -> Tensor:
    """(..., B, n) indices within each frame to (k or 1, B n), counted through frames of `size`."""
    offset = torch.arange(index.shape[-2], device=index.device)[:, None] * size
    return (index + offset).reshape(-1, _size(index))


def _through(index: Tensor, size: int, members: int) -> Tensor:
    """(k or 1, n) indices within each set to (k n,) through all sets of `size`."""
    offset = torch.arange(members, device=index.device)[:, None] * size
    return (index + offset).flatten()
