"""MACE as a function of a flat parameter vector, for k members at once.

Edge vectors come first, for all members in one go, then the network, then one backward pass for the
forces of every member. Plain models (`mace_members.is_supported`) are written as matrix products
with a leading axis of members. All others are mace-torch's own modules under `torch.func.vmap`. Two
things in stock mace-torch keep it from that: `requires_grad_` inside the forward pass, which this
order does not need, and an in-place scatter, which is replaced below by its out-of-place twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mace.modules.blocks
import mace.modules.radial
import torch
from e3nn import o3
from torch import Tensor

from bnnflow.errors import ModelError
from bnnflow.potentials.derivatives import conservative_output
from bnnflow.potentials.graphs import GraphBatch, collate
from bnnflow.potentials.heads import ForceStdHead
from bnnflow.potentials.kept import Kept
from bnnflow.potentials.mace_elements import element_mask
from bnnflow.potentials.mace_members import MaceMembers, Weights, is_supported
from bnnflow.potentials.mace_slots import slots
from bnnflow.potentials.protocol import Output
from bnnflow.potentials.trainable import Trainable
from bnnflow.records import Structure

EVALUATIONS_AT_ONCE = 64
"""Bounds the memory of large data sets."""


def _scatter_sum(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int = 0
) -> Tensor:
    """mace-torch's scatter_sum without the in-place update, which vmap cannot batch."""
    start = src.new_zeros((dim_size, *src.shape[1:])) if out is None else out
    return start.index_add(0 if dim in (0, -1) else dim, index, src)


mace.modules.blocks.scatter_sum = _scatter_sum
mace.modules.radial.scatter_sum = _scatter_sum


class _Blocks(torch.nn.Module):
    """The trainable part: everything between the spherical harmonics and the atoms' energies."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.head = ForceStdHead(_n_invariant(model))

    def forward(
        self, species: Tensor, edges: Tensor, lengths: Tensor, harmonics: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies (n_atoms,) and force stds (n_atoms,) of one member's graphs."""
        model: Any = self.model
        radial, cutoff = model.radial_embedding(lengths, species, edges, model.atomic_numbers)
        heads = torch.zeros(len(species), dtype=torch.long, device=species.device)
        features = model.node_embedding(species)
        energies = [self._pair_energy(lengths, species, edges)]
        layers = []
        for index, (interaction, product) in enumerate(
            zip(model.interactions, model.products, strict=True)
        ):
            features, skip = interaction(
                node_attrs=species,
                node_feats=features,
                edge_attrs=harmonics,
                edge_feats=radial,
                edge_index=edges,
                cutoff=cutoff,
                first_layer=index == 0,
            )
            features = product(node_feats=features, sc=skip, node_attrs=species)
            layers.append(features)
        for index, readout in enumerate(model.readouts):
            layer = layers[-1 if len(model.readouts) == 1 else index]
            energies.append(readout(layer, heads)[:, 0])
        energy = model.scale_shift(torch.stack(energies).sum(0), heads)
        return energy, self.head(_invariant(model, layers))

    def _pair_energy(self, lengths: Tensor, species: Tensor, edges: Tensor) -> Tensor:
        model: Any = self.model
        if not hasattr(model, "pair_repulsion_fn"):
            return torch.zeros_like(species[:, 0])
        pair: Tensor = model.pair_repulsion_fn(lengths, species, edges, model.atomic_numbers)
        return pair


class MacePotential:
    """A MACE foundation model with a force-std head (METHOD 1), as `protocol.Potential`.

    model: `ScaleShiftMACE` without TorchScript, as `mace_files` builds it; dtype: of the network
    (default: the model's). Raises ModelError for a model with several heads.
    """

    conservative = True
    has_stress = True
    exactly_equivariant = True

    def __init__(self, model: Any, *, dtype: torch.dtype | None = None) -> None:
        if len(model.heads) != 1:
            raise ModelError(
                f"the model has heads {list(model.heads)}, expected one: extract one head with "
                "mace-torch's mace_select_head"
            )
        self.elements = tuple(int(number) for number in model.atomic_numbers)
        self.cutoff = float(model.r_max)
        self.dtype = dtype or next(model.parameters()).dtype
        # Taken before the weights change dtype: totals in eV need every digit (DECISIONS 12).
        self._energies = model.atomic_energies_fn.atomic_energies.double().reshape(-1).clone()
        self._blocks = _Blocks(model).to(self.dtype).requires_grad_(False)
        self._trainable = Trainable(dict(self._blocks.named_parameters()), self._blocks.head)
        self._members = (
            MaceMembers(model, self._blocks.head).to(self.dtype).requires_grad_(False)
            if is_supported(model)
            else None
        )
        self.layout = self._trainable.layout
        self._kept: Kept[Weights] = Kept()

    def to(self, device: torch.device) -> MacePotential:
        """Move the fixed tensors to a device."""
        self._blocks.to(device)
        if self._members is not None:
            self._members.to(device)
        return self

    def collate(self, structures: Sequence[Structure]) -> GraphBatch:
        """Padded graphs of some structures."""
        return collate(
            structures,
            elements=self.elements,
            cutoff=self.cutoff,
            dtype=self.dtype,
            atomic_energy=self.atomic_energy,
        )

    def at_once(self, _batch: GraphBatch) -> int:
        """See `Potential`; nothing that belongs to an edge is kept, so frames count alike."""
        return EVALUATIONS_AT_ONCE

    def atomic_energy(self, number: int) -> float:
        """Isolated-atom energy of an element, eV."""
        return float(self._energies[self.elements.index(number)])

    def prior_mean(self) -> Tensor:
        """(P,) pre-trained weights, and zero for the head (METHOD 2)."""
        return self._trainable.prior_mean()

    def start(self, generator: torch.Generator) -> Tensor:
        """(P,) pre-trained weights, and a head that gives s0 everywhere."""
        return self._trainable.start(generator)

    def heads(self) -> Tensor:
        """(P,) True for the parameters of the force-std head."""
        return self._trainable.heads()

    def force_scale(self) -> Tensor:
        """(P,) True for the bias of the head's last layer."""
        return self._trainable.force_scale()

    def active(self, elements: tuple[int, ...]) -> Tensor:
        """(P,) True where a parameter acts on systems of these elements (DECISIONS 6)."""
        present = [number in elements for number in self.elements]
        model = self._blocks.model
        return self._trainable.mask(lambda name, p: element_mask(name, p, model, present))

    def evaluate(
        self,
        parameters: Tensor,
        batch: GraphBatch,
        *,
        stress: bool = False,
        create_graph: bool = False,
    ) -> Output:
        """Energy, forces, stress and force stds of k members (METHOD 1).

        parameters: (k, P); batch: shared by the members (B, ...) or one each (k, B, ...);
        create_graph: for derivatives of the result by the parameters (not again by positions).
        """
        forward = self._forward if self._members is None else self._forward_members
        return conservative_output(
            lambda vectors: forward(parameters, vectors, batch, create_graph),
            batch,
            len(parameters),
            stress=stress,
            create_graph=create_graph,
        )

    def _forward_members(
        self, parameters: Tensor, vectors: Tensor, batch: GraphBatch, create_graph: bool
    ) -> tuple[Tensor, Tensor]:
        """Energies and force stds (k, B n), as matrix products (`mace_members`)."""
        members: Any = self._members
        near = vectors.unflatten(2, (batch.positions.shape[-2], -1)).flatten(1, 2)
        where = slots(batch, len(parameters))
        weights = self._kept.get(
            parameters,
            tuple(where.present.tolist()),
            lambda: members.weights(self.layout.unflatten(parameters), where.present),
        )
        return members(weights, near, where, with_slope=create_graph)  # type: ignore[no-any-return]

    def _forward(
        self, parameters: Tensor, vectors: Tensor, batch: GraphBatch, _create_graph: bool
    ) -> tuple[Tensor, Tensor]:
        """Energies and force stds (k, B n), through mace-torch's own blocks under vmap."""
        own = batch.positions.ndim == 4
        n_atoms = batch.positions.shape[-2]
        offset = torch.arange(vectors.shape[1], device=vectors.device) * n_atoms
        edges = (batch.edges + offset[:, None, None]).transpose(-3, -2).flatten(-2)
        species = batch.species.flatten(-3, -2)
        vectors = vectors.flatten(1, 2)
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        harmonics = self._blocks.model.spherical_harmonics(vectors)  # type: ignore[operator]
        shared = 0 if own else None

        def one(named: dict[str, Tensor], s: Tensor, e: Tensor, r: Tensor, y: Tensor) -> Any:
            return torch.func.functional_call(self._blocks, named, (s, e, r, y))

        batched = torch.func.vmap(one, in_dims=(0, shared, shared, 0, 0))
        named = self.layout.unflatten(parameters)
        energy, force_std = batched(named, species, edges, lengths, harmonics)
        return energy, force_std


def _scalars(model: Any, layer: int) -> int:
    irreps = o3.Irreps(str(model.products[layer].linear.irreps_out))
    return int(irreps.count(o3.Irrep(0, 1)))


def _n_invariant(model: Any) -> int:
    return sum(_scalars(model, layer) for layer in range(len(model.products)))


def _invariant(model: Any, layers: list[Tensor]) -> Tensor:
    """The l = 0 channels of all layers, (n_atoms, n_features); they come first in each layer."""
    parts = [features[:, : _scalars(model, index)] for index, features in enumerate(layers)]
    return torch.cat(parts, dim=-1)
