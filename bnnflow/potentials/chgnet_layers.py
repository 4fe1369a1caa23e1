"""CHGNet's convolutions of atoms and of bonds, and its update of angles."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnflow.potentials.chgnet_gate import gate
from bnnflow.potentials.chgnet_sums import AngleWiring, EdgeWiring, silu_of_sum, turned
from bnnflow.potentials.chgnet_weights import Convolution, Gated


def atom_change(
    layer: Convolution,
    *,
    atoms: Tensor,
    edges: Tensor,
    embedding: Tensor,
    bond_change: Tensor | None,
    weights: Tensor,
    wiring: EdgeWiring,
) -> Tensor:
    """What one convolution adds to the features of atoms (k, N, c).

    edges: (k, N, D, n) basis functions; embedding: (k, n, c) of them as bonds; bond_change: (k, R,
    c) since then, of the R = N b bonds in the bond graph; weights: (k, N D, c) of the messages.
    """
    centre, bond, neighbour = layer.gated.first
    parts = [_times(atoms, centre) + layer.gated.bias, _times(atoms, neighbour)]
    if bond_change is not None:
        parts.append(_times(bond_change, bond).unflatten(2, (-1, wiring.n_bonds)))
    own = _times(edges.flatten(1, 2), embedding.unsqueeze(1) @ bond)
    hidden = silu_of_sum(wiring, own.unflatten(2, edges.shape[1:3]), *parts)
    messages = _gated(layer.gated, hidden) * weights
    sums = messages.unflatten(1, edges.shape[1:3]).sum(2)
    return torch.bmm(sums, layer.out)


def bond_change(
    layer: Convolution,
    *,
    atoms: Tensor,
    bonds: Tensor,
    angles: Tensor,
    own_weights: Tensor,
    other_weights: Tensor,
    reverse: Tensor,
) -> Tensor:
    """What one convolution adds to the features of bonds (k, R, c), R = N b rows of b angles.

    angles: (k, R, b, c); own_weights: (k, R, c) and other_weights: (k, R, b, c) of the messages, of
    the bond itself and of an angle's second one; reverse: (k R,) the same bonds from the other end.
    """
    own, first, second = _angle_parts(layer.gated, atoms=atoms, bonds=bonds, angles=angles)
    messages = _gated(layer.gated, silu_of_sum(AngleWiring(), own, first, second))
    sums = (messages.unflatten(1, angles.shape[1:3]) * other_weights).sum(2) * own_weights
    both = sums + turned(sums.flatten(0, 1), reverse).view_as(sums)
    return torch.bmm(both, layer.out)


def angle_change(network: Gated, *, atoms: Tensor, bonds: Tensor, angles: Tensor) -> Tensor:
    """What one update adds to the features of angles (k, R, b, c); arguments: see `bond_change`."""
    own, first, second = _angle_parts(network, atoms=atoms, bonds=bonds, angles=angles)
    by_atom = own.unflatten(2, (-1, own.shape[3])) + second.unsqueeze(3)
    total = by_atom.flatten(2, 3) + first.unsqueeze(3)
    return gate(total.flatten(2, 3), *network.norm).view_as(angles)


def _angle_parts(
    network: Gated, *, atoms: Tensor, bonds: Tensor, angles: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What angles (k, 2, R, b, c), their first bond with its atom (k, 2, R, c), and their second
    bond (k, 2, N, b, c) contribute to the first layer."""
    first, second, angle, atom = network.first
    n_bonds = angles.shape[2]
    centre = _times(atoms, atom) + network.bias
    one = _times(bonds, first).unflatten(2, (-1, n_bonds)) + centre.unsqueeze(3)
    other = _times(bonds, second).unflatten(2, (-1, n_bonds))
    own = _times(angles.flatten(1, 2), angle).unflatten(2, angles.shape[1:3])
    return own, one.flatten(2, 3), other


def _gated(network: Gated, hidden: Tensor) -> Tensor:
    """Second layer, norm and gate: (k, 2, R, S, c) to (k, R S, c)."""
    assert network.second is not None
    matrix, bias = (each.flatten(0, 1) for each in network.second)
    halves = torch.baddbmm(bias, hidden.flatten(2, 3).flatten(0, 1), matrix)
    return gate(halves.unflatten(0, (-1, 2)), *network.norm)


def _times(features: Tensor, matrices: Tensor) -> Tensor:
    """(k, M, in) by (k, 2, in, out) to (k, 2, M, out)."""
    return features.unsqueeze(1) @ matrices
