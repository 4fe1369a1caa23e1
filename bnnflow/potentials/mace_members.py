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
from bnnflow.potentials.mace_messages import Wiring, messages
from bnnflow.potentials.mace_radial import Radial, RadialNetwork, is_silu_network
from bnnflow.potentials.mace_slots import Slots
from bnnflow.potentials.mace_tables import Coupling, ElementMixing, Mixing

_RESIDUAL = "RealAgnosticResidualInteractionBlock"
_FIRST = ("RealAgnosticInteractionBlock", _RESIDUAL)
_READOUTS = ("LinearReadoutBlock", "NonLinearReadoutBlock")

Named = dict[str, Tensor]
"""Parameters by name, each (k, *shape)."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """The matrices of one layer, with a leading axis of members; see the parts' `matrices`."""

    up: list[Tensor]
    radial: list[Tensor]
    mixing: list[Tensor]
    skip: list[Tensor]
    contraction: list[Tensor]
    down: list[Tensor]


@dataclass(frozen=True, eq=False)
class Weights:
    """All that depends on the parameters and the elements present alone."""

    start: Tensor
    layers: list[LayerWeights]
    readouts: list[list[Tensor]]
    head: Named


def is_supported(model: Any) -> bool:
    """Whether a model is of the plain kind written here; others go through mace-torch's blocks."""
    interactions = [type(block).__name__ for block in model.interactions]
    contractions = [
        one for block in model.products for one in block.symmetric_contractions.contractions
    ]
    embedding = model.radial_embedding
    return (
        all(name in _FIRST for name in interactions)
        and all(name == _RESIDUAL for name in interactions[1:])
        and all(type(block).__name__ in _READOUTS for block in model.readouts)
        and len(model.readouts) == len(model.interactions)
        and not any(block.use_agnostic_product for block in model.products)
        and all(one.correlation <= HIGHEST for one in contractions)
        and not hasattr(model, "pair_repulsion_fn")
        and not hasattr(model, "joint_embedding")
        and not hasattr(embedding, "distance_transform")
        and all(is_silu_network(block.conv_tp_weights) for block in model.interactions)
    )


@dataclass(frozen=True, eq=False)
class Edges:
    """What the network sees of the edges: harmonics (k, N, D, (lmax + 1)^2) and, by pairs, radial
    functions."""

    harmonics: Tensor
    radial: Radial


class MaceMembers(torch.nn.Module):
    """Energies and force stds of k members. model: `ScaleShiftMACE`; head: the force-std head."""

    def __init__(self, model: Any, head: ForceStdHead) -> None:
        super().__init__()
        self.embedding = model.radial_embedding
        self.harmonics = Harmonics(o3.Irreps(str(model.spherical_harmonics.irreps_out)).lmax)
        self.start = Mixing(model.node_embedding.linear, "model.node_embedding.linear")
        blocks = zip(model.interactions, model.products, strict=True)
        self.layers: Any = torch.nn.ModuleList(Layer(*pair, n) for n, pair in enumerate(blocks))
        self.readouts: Any = torch.nn.ModuleList(
            Readout(readout, f"model.readouts.{index}")
            for index, readout in enumerate(model.readouts)
        )
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.atleast_1d(model.scale_shift.scale)[0].clone())
        self.register_buffer("shift", torch.atleast_1d(model.scale_shift.shift)[0].clone())
        self.n_head = len(head.layers)

    def weights(self, parameters: Named, present: Tensor) -> Weights:
        """What the members' parameters (k, *shape) come to for these elements."""
        return Weights(
            start=self.start.matrices(parameters)[0].index_select(1, present)[:, :, None, None],
            layers=[layer.weights(parameters, present) for layer in self.layers],
            readouts=[readout.weights(parameters) for readout in self.readouts],
            head={name: value for name, value in parameters.items() if name.startswith("head.")},
        )

    def forward(
        self, weights: Weights, vectors: Tensor, slots: Slots, *, with_slope: bool
    ) -> tuple[Tensor, Tensor]:
        """Energies (k, N) and force stds (k, N) of the atoms.

        vectors: (k, N, D, 3) from each atom's neighbours; with_slope: see `mace_radial`.
        """
        edges = self._edges(vectors, slots, with_slope)
        features, energies, invariant = [weights.start], [], []
        for layer, readout, own, out in zip(
            self.layers, self.readouts, weights.layers, weights.readouts, strict=True
        ):
            features = layer(own, features, edges, slots)
            flat = [block.flatten(1, 2) for block in features]
            energies.append(readout(out, flat))
            invariant.append(flat[0].squeeze(2))
        energy = self.scale * torch.stack(energies).sum(0) + self.shift
        std = member_stds(weights.head, torch.cat(invariant, dim=-1), self.n_head)
        return _atoms(energy, slots), _atoms(std, slots)

    def _edges(self, vectors: Tensor, slots: Slots, with_slope: bool) -> Edges:
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        pairs = lengths.flatten().index_select(0, slots.first).reshape(len(vectors), -1, 1)
        radial = Radial(self.embedding, pairs, with_slope=with_slope)
        return Edges(self.harmonics(vectors / lengths), radial)


def _atoms(value: Tensor, slots: Slots) -> Tensor:
    """(k, n_slots) to (k, N)."""
    return value.flatten().index_select(0, slots.slot).reshape(len(value), -1)


class Layer(torch.nn.Module):
    """One interaction and the product after it."""

    def __init__(self, interaction: Any, product: Any, index: int) -> None:
        super().__init__()
        name, after = f"model.interactions.{index}", f"model.products.{index}"
        self.is_first = index == 0
        self.residual = type(interaction).__name__ == _RESIDUAL
        self.use_skip = bool(product.use_sc) and self.residual
        self.up = Mixing(interaction.linear_up, f"{name}.linear_up")
        self.messages = Messages(interaction, name)
        self.skip = ElementMixing(interaction.skip_tp, f"{name}.skip_tp")
        self.contraction = Contraction(
            product.symmetric_contractions, f"{after}.symmetric_contractions"
        )
        self.down = Mixing(product.linear, f"{after}.linear")

    def weights(self, named: Named, present: Tensor) -> LayerWeights:
        """The matrices of this layer."""
        return LayerWeights(
            up=self.up.matrices(named),
            radial=self.messages.radial.matrices(named),
            mixing=[m / self.messages.neighbours for m in self.messages.mixing.matrices(named)],
            skip=self.skip.matrices(named, present),
            contraction=self.contraction.matrices(named, present),
            down=self.down.matrices(named),
        )

    def forward(
        self, weights: LayerWeights, features: list[Tensor], edges: Edges, slots: Slots
    ) -> list[Tensor]:
        """Features (k, n_elements, rows, 2 l + 1, channels) of the last layer to those of this.

        Before the first layer there is one row for each element, later one for each atom.
        """
        up = self.up.forward(weights.up, [block.flatten(1, 2) for block in features])
        sender = slots.sender_element if self.is_first else slots.sender_slot
        message = self.messages(weights, up, edges, slots, sender)
        grouped = [_grouped(block, slots) for block in message]
        if not self.residual:
            grouped = self.skip.forward(weights.skip, grouped)
        blocks = self.contraction(weights.contraction, torch.cat(grouped, dim=3))
        mixed = self.down.forward(weights.down, [block.flatten(1, 2) for block in blocks])
        out = [block.unflatten(1, (len(slots.present), -1)) for block in mixed]
        if self.use_skip:
            skipped = self.skip.forward(weights.skip, features)
            out = [*map(torch.add, out, skipped), *out[len(skipped) :]]
        return out


def _grouped(block: Tensor, slots: Slots) -> Tensor:
    """(k, N, m, channels) to (k, n_elements, rows, m, channels)."""
    rows = block.flatten(0, 1).index_select(0, slots.atom)
    return rows.reshape(len(block), len(slots.present), slots.rows, *block.shape[2:])


class Messages(torch.nn.Module):
    """Sum over neighbours of features times harmonics times a function of the distance."""

    def __init__(self, interaction: Any, name: str) -> None:
        super().__init__()
        self.coupling = Coupling(interaction.conv_tp)
        self.radial = RadialNetwork(
            interaction.conv_tp_weights, f"{name}.conv_tp_weights", self.coupling.widths
        )
        self.mixing = Mixing(interaction.linear, f"{name}.linear")
        self.neighbours = float(interaction.avg_num_neighbors)

    def forward(
        self,
        weights: LayerWeights,
        features: list[Tensor],
        edges: Edges,
        slots: Slots,
        sender: Tensor,
    ) -> list[Tensor]:
        """Features (k, rows, 2 l + 1, channels) of the senders to messages (k, N, m, channels)."""
        members, n_atoms, n_near = edges.harmonics.shape[:3]
        sums = messages(
            Wiring(self.coupling, slots.pair, sender, n_near),
            edges.harmonics.flatten(0, 2),
            [weight.flatten(0, 1) for weight in self.radial.forward(weights.radial, edges.radial)],
            [one.flatten(0, 1).contiguous() for block in features for one in block.unbind(2)],
        )
        by_member = [block.unflatten(0, (members, n_atoms)) for block in sums]
        return self.mixing.forward(weights.mixing, by_member)


class Readout(torch.nn.Module):
    """Scalars of one layer to energies."""

    def __init__(self, readout: Any, name: str) -> None:
        super().__init__()
        linears = ["linear"] if hasattr(readout, "linear") else ["linear_1", "linear_2"]
        self.linears = [Mixing(getattr(readout, part), f"{name}.{part}") for part in linears]
        self.gate = getattr(readout, "non_linearity", None)

    def weights(self, named: Named) -> list[Tensor]:
        """The matrix of each linear part."""
        return [linear.matrices(named)[0] for linear in self.linears]

    def forward(self, weights: list[Tensor], features: list[Tensor]) -> Tensor:
        """(k, n_slots, 2 l + 1, channels) to (k, n_slots)."""
        for index, (linear, matrix) in enumerate(zip(self.linears, weights, strict=True)):
            features = linear.forward([matrix], features)
            if index < len(weights) - 1 and self.gate is not None:
                features = [self.gate(features[0])]
        return features[0][..., 0, 0]
