"""Forces and stress of a conservative potential: derivatives by positions and strain."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.protocol import Output
from bnnflow.units import VOIGT

AtomValues = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Edge vectors (k, B, e, 3) to energies and force stds (k, B n) of the atoms."""


def conservative_output(
    atom_values: AtomValues, batch: GraphBatch, members: int, *, stress: bool, create_graph: bool
) -> Output:
    """Energies, and forces and stresses as their derivatives (METHOD 1).

    batch: shared by the members (B, ...) or one each (k, B, ...); create_graph: for derivatives of
    the result by the parameters (not again by positions).
    """
    positions = batch.positions.expand(members, *batch.positions.shape[-3:]).detach().clone()
    strain = positions.new_zeros(members, positions.shape[1], 3, 3)
    positions.requires_grad_(True)
    strain.requires_grad_(stress)
    vectors = _vectors(positions, strain if stress else None, batch)
    atom_energy, force_std = atom_values(vectors)
    energy = (atom_energy.unflatten(-1, positions.shape[1:3]) * batch.mask).sum(-1)
    wanted = (positions, strain) if stress else (positions,)
    gradients = torch.autograd.grad(energy.sum(), wanted, create_graph=create_graph)
    return Output(
        energy=energy,
        forces=-gradients[0],
        stress=_stress(gradients[1], batch.volume) if stress else None,
        force_std=force_std.unflatten(-1, positions.shape[1:3]),
    )


def _vectors(positions: Tensor, strain: Tensor | None, batch: GraphBatch) -> Tensor:
    """Edge vectors (k, B, e, 3), receiver minus sender, in the strained frame."""
    edges = batch.edges.expand(len(positions), *batch.edges.shape[-3:])
    ends = edges.flatten(-2).unsqueeze(-1).expand(-1, -1, -1, 3)
    senders, receivers = positions.gather(2, ends).chunk(2, dim=2)
    vectors = receivers - senders + batch.shifts
    if strain is None:
        return vectors
    symmetric = 0.5 * (strain + strain.transpose(-1, -2))
    return vectors + vectors @ symmetric


def _stress(gradient: Tensor, volume: Tensor) -> Tensor:
    components = [gradient[..., row, column] for row, column in VOIGT]
    return torch.stack(components, dim=-1) / volume[..., None]
