"""Where the edges, bonds and angles of a batch are, for all members in one go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.potentials.chgnet_graphs import BondGraphBatch
from bnnflow.potentials.chgnet_sums import EdgeWiring


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch as k sets of N atoms with D edges, of which b may be bonds.

    species: (k, N, n_elements); is_angle: (k, N b, b, 1); far, near: the atom graph's wiring before
    and after bonds have changed; bond_reverse: (k N b,) the bond from its other end, through all
    sets.
    """

    species: Tensor
    is_angle: Tensor
    far: EdgeWiring
    near: EdgeWiring
    bond_reverse: Tensor

    @classmethod
    def of(cls, batch: BondGraphBatch, members: int) -> Rows:
        """Rows of frames shared by the members or one set for each."""

        def by_member(values: Tensor) -> Tensor:
            own = batch.positions.ndim == 4
            return values if own else values.expand(members, *values.shape)

        n_atoms, n_bonds = batch.is_bond.shape[-2:]
        is_bond = by_member(batch.is_bond).flatten(1, 2)
        others = 1.0 - torch.eye(n_bonds, dtype=is_bond.dtype, device=is_bond.device)
        is_angle = is_bond.unsqueeze(-1) * is_bond.unsqueeze(-2) * others
        sender = _through_halves(by_member(batch.edges[..., 0, :]), n_atoms)
        reverse = _through_halves(by_member(batch.reverse), batch.reverse.shape[-1])
        return cls(
            species=by_member(batch.species).flatten(1, 2),
            is_angle=is_angle.flatten(1, 2).unsqueeze(-1),
            far=EdgeWiring(sender, reverse, 0),
            near=EdgeWiring(sender, reverse, n_bonds),
            bond_reverse=_through(by_member(batch.bond_reverse), n_atoms * n_bonds).flatten(),
        )


def _through(index: Tensor, size: int) -> Tensor:
    """(k, B, m) indices within frames of `size` to indices through all sets of frames."""
    frames = torch.arange(index.shape[0] * index.shape[1], device=index.device)
    return index + (frames * size).view(*index.shape[:2], 1)


def _through_halves(index: Tensor, size: int) -> Tensor:
    """(k, B, m) indices within frames of `size` to (k 2 B m,) through sets that occur twice."""
    members, frames, _ = index.shape
    half = torch.arange(2 * members, device=index.device).view(-1, 2, 1, 1) * (frames * size)
    frame = torch.arange(frames, device=index.device).view(-1, 1) * size
    return (index.unsqueeze(1) + frame + half).flatten()
