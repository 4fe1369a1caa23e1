"""CHGNet for k members as matrix products with a leading axis of members.

The same function as the `forward` of CHGNet's own package (its tests compare energies, forces and
stress, and derivatives with finite differences), on rows: each atom has a row of D edges, the first
b of which may be bonds, and each bond a row of b angles with the other bonds of its atom. Slots
that hold no edge or bond have weight zero in every sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bnnflow.potentials.chgnet_basis import angular, radial
from bnnflow.potentials.chgnet_files import ChgnetModel
from bnnflow.potentials.chgnet_gate import EPSILON
from bnnflow.potentials.chgnet_layers import angle_change, atom_change, bond_change
from bnnflow.potentials.chgnet_rows import Rows
from bnnflow.potentials.chgnet_weights import ChgnetWeights
from bnnflow.potentials.heads import member_stds

silu = torch.nn.functional.silu


class ChgnetMembers:
    """Energies and force stds of k members.

    model: whose cutoffs and depth; n_head: modules of the force-std head.
    """

    def __init__(self, model: ChgnetModel, n_head: int) -> None:
        self.model = model
        self.n_head = n_head

    def __call__(
        self, weights: ChgnetWeights, vectors: Tensor, rows: Rows
    ) -> tuple[Tensor, Tensor]:
        """Energies (k, N) and force stds (k, N) of the atoms; vectors: (k, N, D, 3) Å."""
        atoms = self._atoms(weights, vectors, rows)
        features = _normalised(atoms, *weights.norm)
        values = features
        for matrix, bias in weights.readout[:-1]:
            values = silu(torch.baddbmm(bias, values, matrix))
        matrix, bias = weights.readout[-1]
        energy = torch.baddbmm(bias, values, matrix).squeeze(-1)
        return energy, member_stds(dict(weights.head), features, self.n_head)

    def _atoms(self, weights: ChgnetWeights, vectors: Tensor, rows: Rows) -> Tensor:
        """Features (k, N, c) after all convolutions."""
        n_bonds = rows.is_angle.shape[2]
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        short = lengths[:, :, :n_bonds]
        edges = self._radial(lengths, weights.frequencies[0], self.model.cutoff)
        near = self._radial(short, weights.frequencies[1], self.model.bond_cutoff)
        far_weights = edges.flatten(1, 2) @ weights.far
        near_weights = near.flatten(1, 2) @ weights.near
        of_angles = near_weights.unflatten(1, (-1, 1, n_bonds)).expand(-1, -1, n_bonds, -1, -1)
        of_angles = of_angles.flatten(1, 2) * rows.is_angle
        atoms = rows.species @ weights.atoms
        bonds = edges[:, :, :n_bonds].flatten(1, 2) @ weights.bond
        fourier = angular(vectors[:, :, :n_bonds] / short, weights.frequencies[2])
        angles = (fourier.flatten(1, 2) @ weights.angle).unflatten(1, fourier.shape[1:3])
        change: Tensor | None = None
        for index, layer in enumerate(weights.atom_layers):
            atoms = atoms + atom_change(
                layer,
                atoms=atoms,
                edges=edges,
                embedding=weights.bond,
                bond_change=change,
                weights=far_weights,
                wiring=rows.far if change is None else rows.near,
            )
            if index < len(weights.bond_layers):
                one = bond_change(
                    weights.bond_layers[index],
                    atoms=atoms,
                    bonds=bonds,
                    angles=angles,
                    own_weights=near_weights,
                    other_weights=of_angles,
                    reverse=rows.bond_reverse,
                )
                bonds, change = bonds + one, one if change is None else change + one
            if index < len(weights.angle_layers):
                angles = angles + angle_change(
                    weights.angle_layers[index], atoms=atoms, bonds=bonds, angles=angles
                )
        return atoms

    def _radial(self, lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
        return radial(lengths, frequencies, cutoff=cutoff, envelope=self.model.envelope)


def _normalised(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    normal = torch.nn.functional.layer_norm(features, features.shape[-1:], eps=EPSILON)
    return torch.addcmul(bias, normal, weight)
