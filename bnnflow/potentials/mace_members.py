"""MACE for k members as matrix products with a leading axis of members.

The same function as mace-torch's `ScaleShiftMACE` (its tests compare energies, forces, stress and
derivatives by the parameters), in another order: messages are summed over the neighbours inside a
matrix product, which needs the neighbours in rows of equal length (`graphs`); what depends on the
element works on atoms sorted by element (`mace_slots`); elements that are absent do not occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3
from torch import Tensor

from bnnflow.potentials.heads import ForceStdHead, member_stds
from bnnflow.potentials.mace_contraction import HIGHEST, Contraction
from bnnflow.potentials.mace_harmonics import Harmonics
from bnnflow.potentials.mace_slots import Slots
from bnnflow.potentials.mace_tables import Coupling, ElementMixing, Mixing

_FIRST = ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock")
_READOUTS = ("LinearReadoutBlock", "NonLinearReadoutBlock")

Named = dict[str, Tensor]


def is_supported(model: Any) -> bool:
    """Whether a model is of the plain kind written here; others go through mace-torch's blocks."""
    interactions = [type(block).__name__ for block in model.interactions]
    contractions = [
        one for block in model.products for one in block.symmetric_contractions.contractions
    ]
    embedding = model.radial_embedding
    return (
        all(name in _FIRST for name in interactions)
        and all(name == _FIRST[1] for name in interactions[1:])
        and all(type(block).__name__ in _READOUTS for block in model.readouts)
        and len(model.readouts) == len(model.interactions)
        and not any(block.use_agnostic_product for block in model.products)
        and all(one.correlation <= HIGHEST for one in contractions)
        and not hasattr(model, "pair_repulsion_fn")
        and not hasattr(model, "joint_embedding")
        and not hasattr(embedding, "distance_transform")
    )


@dataclass(frozen=True, eq=False)
class Edges:
    """What the network sees of the edges: harmonics (k, N, D, (lmax + 1)^2), radial (k, N D, n)
    and, where the model keeps it apart, cutoff (k, N D, 1)."""

    harmonics: Tensor
    radial: Tensor
    cutoff: Tensor | None


class MaceMembers(torch.nn.Module):
    """Energies and force stds of k members. model: `ScaleShiftMACE`; head: the force-std head."""

    def __init__(self, model: Any, head: ForceStdHead) -> None:
        super().__init__()
        self.radial = model.radial_embedding
        self.harmonics = Harmonics(o3.Irreps(str(model.spherical_harmonics.irreps_out)).lmax)
        self.embedding = Mixing(model.node_embedding.linear)
        self.layers = torch.nn.ModuleList(
            Layer(interaction, product, index)
            for index, (interaction, product) in enumerate(
                zip(model.interactions, model.products, strict=True)
            )
        )
        self.readouts = torch.nn.ModuleList(
            Readout(readout, f"model.readouts.{index}")
            for index, readout in enumerate(model.readouts)
        )
        self.register_buffer("scale", torch.atleast_1d(model.scale_shift.scale)[0].clone())
        self.register_buffer("shift", torch.atleast_1d(model.scale_shift.shift)[0].clone())
        self.n_head = len(head.layers)

    def forward(self, named: Named, vectors: Tensor, slots: Slots) -> tuple[Tensor, Tensor]:
        """Energies (k, N) and force stds (k, N) of the atoms.

        named: parameters (k, *shape); vectors: (k, N, D, 3) from each atom's neighbours.
        """
        edges = self._edges(vectors)
        features = [_embedding(self.embedding, named, slots)]
        energies, invariant = [], []
        for layer, readout in zip(self.layers, self.readouts, strict=True):
            features = layer(named, features, edges, slots)
            scalars = features[0].flatten(1, 2)
            energies.append(readout(named, scalars))
            invariant.append(scalars.squeeze(2))
        energy = self.scale * torch.stack(energies).sum(0) + self.shift
        std = member_stds(named, torch.cat(invariant, dim=-1), self.n_head)
        return tuple(_atoms(value, slots) for value in (energy, std))  # type: ignore[return-value]

    def _edges(self, vectors: Tensor) -> Edges:
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        radial, cutoff = self.radial(lengths.flatten(1, 2), None, None, None)
        return Edges(self.harmonics(vectors / lengths), radial, cutoff)


def _embedding(mixing: Mixing, named: Named, slots: Slots) -> Tensor:
    """(k, n_elements, 1, 1, channels): atoms of one element start alike."""
    (_, _, shape, scale), *_ = mixing.paths[0]
    weight = named["model.node_embedding.linear.weight"]
    table = weight.unflatten(-1, shape).index_select(1, slots.present) * scale
    return table[:, :, None, None]


def _atoms(value: Tensor, slots: Slots) -> Tensor:
    """(k, n_slots) to (k, N)."""
    return value.flatten().index_select(0, slots.slot).unflatten(0, (len(value), -1))


class Layer(torch.nn.Module):
    """One interaction and the product after it."""

    def __init__(self, interaction: Any, product: Any, index: int) -> None:
        super().__init__()
        self.name = f"model.interactions.{index}"
        self.product = f"model.products.{index}"
        self.is_first = index == 0
        self.residual = type(interaction).__name__ == _FIRST[1]
        self.use_skip = bool(product.use_sc) and self.residual
        self.up = Mixing(interaction.linear_up)
        self.messages = Messages(interaction, self.name)
        self.skip = ElementMixing(interaction.skip_tp)
        contraction = product.symmetric_contractions
        self.contraction = Contraction(contraction, f"{self.product}.symmetric_contractions")
        self.down = Mixing(product.linear)

    def forward(
        self, named: Named, features: list[Tensor], edges: Edges, slots: Slots
    ) -> list[Tensor]:
        """Features (k, n_elements, rows, 2 l + 1, channels) of the last layer to those of this.

        Before the first layer there is one row for each element, later one for each atom.
        """
        skip_weight = named[f"{self.name}.skip_tp.weight"]
        flat = [block.flatten(1, 2) for block in features]
        up = self.up(named[f"{self.name}.linear_up.weight"], flat)
        sender = slots.sender_element if self.is_first else slots.sender_slot
        message = self.messages(named, up, edges, sender)
        grouped = [_grouped(block, slots) for block in message]
        if not self.residual:
            grouped = self.skip(skip_weight, grouped, slots.present)
        joined = torch.cat(grouped, dim=3)
        blocks = self.contraction(named, joined, slots.present)
        flat = [block.flatten(1, 2) for block in blocks]
        mixed = self.down(named[f"{self.product}.linear.weight"], flat)
        out = [block.unflatten(1, (len(slots.present), -1)) for block in mixed]
        if self.use_skip:
            skipped = self.skip(skip_weight, features, slots.present)
            out = [*map(torch.add, out, skipped), *out[len(skipped) :]]
        return out


def _grouped(block: Tensor, slots: Slots) -> Tensor:
    """(k, N, m, channels) to (k, n_elements, rows, m, channels)."""
    rows = block.flatten(0, 1).index_select(0, slots.atom)
    return rows.unflatten(0, (len(block), len(slots.present), slots.rows))


class Messages(torch.nn.Module):
    """Sum over neighbours of features times harmonics times a function of the distance."""

    def __init__(self, interaction: Any, name: str) -> None:
        super().__init__()
        self.name = name
        self.coupling = Coupling(interaction.conv_tp)
        self.mixing = Mixing(interaction.linear)
        self.neighbours = float(interaction.avg_num_neighbors)
        self.network = interaction.conv_tp_weights
        self.n_radial = len(self.network.hs) - 1

    def forward(
        self, named: Named, features: list[Tensor], edges: Edges, sender: Tensor
    ) -> list[Tensor]:
        """Features (k, rows, 2 l + 1, channels) of the senders to messages (k, N, m, channels)."""
        hidden, last = self._radial(named, edges)
        sent = [block.flatten(0, 1).index_select(0, sender) for block in features]
        sums = []
        for (block, start, channels, m_out), table in zip(
            self.coupling.paths, self.coupling.tables(), strict=True
        ):
            weight = hidden @ last[..., start : start + channels]
            weighted = weight.unsqueeze(2) * sent[block].unflatten(0, (len(hidden), -1))
            angular = edges.harmonics @ table
            sums.append(_summed(angular, weighted, m_out))
        mixed = self.mixing(named[f"{self.name}.linear.weight"], sums)
        return [block / self.neighbours for block in mixed]

    def _radial(self, named: Named, edges: Edges) -> tuple[Tensor, Tensor]:
        """The radial network up to its last layer, (k, N D, width), and that layer's matrix."""
        hidden = edges.radial
        for index in range(self.n_radial):
            layer: Any = getattr(self.network, f"layer{index}")
            scale = (layer.h_in * layer.var_in) ** -0.5
            weight = named[f"{self.name}.conv_tp_weights.layer{index}.weight"] * scale
            if layer.act is None:
                break
            hidden = layer.act(hidden @ weight) * layer.var_out**0.5
        if edges.cutoff is not None:
            hidden = hidden * edges.cutoff
        return hidden, weight * layer.var_out**0.5


def _summed(angular: Tensor, weighted: Tensor, m_out: int) -> Tensor:
    """angular (k, N, D, m_in m_out), weighted (k, N D, m_in, C): sums over D, (k, N, m_out, C)."""
    n_atoms, n_near = angular.shape[1:3]
    left = angular.reshape(len(angular), n_atoms, -1, m_out).transpose(-1, -2)
    right = weighted.unflatten(1, (n_atoms, n_near)).flatten(2, 3)
    return left @ right


class Readout(torch.nn.Module):
    """Scalars of one layer to energies."""

    def __init__(self, readout: Any, name: str) -> None:
        super().__init__()
        self.name = name
        self.linear = hasattr(readout, "linear")
        self.first = Mixing(readout.linear if self.linear else readout.linear_1)
        if not self.linear:
            self.gate = readout.non_linearity
            self.second = Mixing(readout.linear_2)

    def forward(self, named: Named, scalars: Tensor) -> Tensor:
        """(k, n_slots, 1, channels) to (k, n_slots)."""
        if self.linear:
            return self.first.one(named[f"{self.name}.linear.weight"], [scalars])[..., 0, 0]
        inner = self.gate(self.first.one(named[f"{self.name}.linear_1.weight"], [scalars]))
        return self.second.one(named[f"{self.name}.linear_2.weight"], [inner])[..., 0, 0]
