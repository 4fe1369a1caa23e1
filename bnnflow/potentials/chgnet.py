"""CHGNet as a function of a flat parameter vector, for k members at once.

Sampled are the parameters that energies depend on, under CHGNet's own names and in their shapes (of
the embedding the rows of elements that were trained). The elements' reference energies (`AtomRef`)
are added in float64, as MACE's are. The invariant features of an atom are those that its energy is
read from: after the last convolution, normalised.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023); package chgnet 0.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnnflow.errors import ModelError
from bnnflow.potentials.chgnet_files import ChgnetModel
from bnnflow.potentials.chgnet_graphs import BondGraphBatch, collate_bonds
from bnnflow.potentials.chgnet_members import ChgnetMembers
from bnnflow.potentials.chgnet_rows import Rows
from bnnflow.potentials.chgnet_weights import CHANNELS, ChgnetWeights, acting, chgnet_weights
from bnnflow.potentials.derivatives import conservative_output
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.heads import ForceStdHead
from bnnflow.potentials.kept import Kept
from bnnflow.potentials.protocol import Output
from bnnflow.potentials.trainable import Trainable
from bnnflow.records import Structure

UNTRAINED = frozenset({84, 85, 86, 87, 88})
"""Po to Ra, of which MPtrj has no structure: their embedding was never trained."""
MEMORY = 2**30
"""Bytes that evaluations side by side may keep."""
KEPT_PER_PARAMETER = 5
KEPT_PER_CHANNEL = 165
"""Numbers kept of every parameter, and of every channel of an edge or angle; measured on Si2 to 40
atoms of CaTiO3."""
_ELEMENTS = "atom_embedding.embedding.weight"
_REFERENCES = "composition_model.fc.weight"


class ChgnetPotential:
    """A CHGNet foundation model with a force-std head (METHOD 1), as `protocol.Potential`.

    model: as `chgnet_files` reads it; dtype: of the network (default: the weights').
    """

    conservative = True
    has_stress = True
    exactly_equivariant = True

    def __init__(self, model: ChgnetModel, *, dtype: torch.dtype | None = None) -> None:
        numbers = range(1, 1 + len(model.arrays[_ELEMENTS]))
        self.elements = tuple(number for number in numbers if number not in UNTRAINED)
        self.cutoff = model.cutoff
        self.dtype = dtype or model.arrays[_ELEMENTS].dtype
        # Taken before the weights change dtype: totals in eV need every digit (DECISIONS 12).
        self._energies = model.arrays[_REFERENCES].double().reshape(-1).clone()
        self._model = model
        self._head = ForceStdHead(CHANNELS).to(self.dtype).requires_grad_(False)
        self._members = ChgnetMembers(model, len(self._head.layers))
        self._trainable = self._parameters(torch.device("cpu"))
        self.layout = self._trainable.layout
        self._kept: Kept[ChgnetWeights] = Kept()

    def _bonds(self, batch: GraphBatch) -> BondGraphBatch:
        if not isinstance(batch, BondGraphBatch):
            raise ModelError(
                "the graphs have no bonds, expected those of this potential's collate: make them "
                "with it"
            )
        return batch

    def _parameters(self, device: torch.device) -> Trainable:
        arrays = self._model.arrays
        network = {name: arrays[name] for name in acting(list(arrays), self._model.n_layers)}
        network[_ELEMENTS] = network[_ELEMENTS][torch.tensor(self.elements) - 1]
        named = {name: value.to(device, self.dtype) for name, value in network.items()}
        head = self._head.to(device)
        return Trainable(named | {f"head.{n}": p for n, p in head.named_parameters()}, head)

    def to(self, device: torch.device) -> ChgnetPotential:
        """Move the pre-trained weights to a device."""
        self._trainable = self._parameters(device)
        return self

    def collate(self, structures: Sequence[Structure]) -> BondGraphBatch:
        """Padded graphs of some structures, bonds among them."""
        return collate_bonds(
            structures,
            elements=self.elements,
            cutoff=self.cutoff,
            bond_cutoff=self._model.bond_cutoff,
            dtype=self.dtype,
            atomic_energy=self.atomic_energy,
        )

    def at_once(self, batch: GraphBatch) -> int:
        """See `Potential`: as many as a gibibyte holds."""
        return max(1, MEMORY // (self.dtype.itemsize * self._numbers(batch)))

    def _numbers(self, batch: GraphBatch) -> int:
        """How many numbers one evaluation keeps until it is differentiated, within a fifth."""
        frame_edges = batch.edges.shape[-1]
        n_atoms, n_bonds = self._bonds(batch).is_bond.shape[-2:]
        rows = frame_edges + n_atoms * n_bonds**2
        return KEPT_PER_PARAMETER * self.layout.size + KEPT_PER_CHANNEL * CHANNELS * rows

    def atomic_energy(self, number: int) -> float:
        """Reference energy of an element, eV, of the composition model."""
        return float(self._energies[number - 1])

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
        present = torch.tensor([number in elements for number in self.elements])

        def acts(name: str, value: Tensor) -> Tensor:
            of_element = name == _ELEMENTS
            return (present[:, None] if of_element else torch.tensor(True)).expand(value.shape)

        return self._trainable.mask(acts)

    def evaluate(
        self,
        parameters: Tensor,
        batch: GraphBatch,
        *,
        stress: bool = False,
        create_graph: bool = False,
    ) -> Output:
        """Energy, forces, stress and force stds of k members (METHOD 1); see `Potential`.

        Raises ModelError for graphs that another potential collated.
        """
        members = len(parameters)
        rows = Rows.of(self._bonds(batch), members)
        weights = self._kept.get(
            parameters,
            None,
            lambda: chgnet_weights(self.layout.unflatten(parameters), self._model.n_layers),
        )

        def atom_values(vectors: Tensor) -> tuple[Tensor, Tensor]:
            near = vectors.unflatten(2, (batch.positions.shape[-2], -1)).flatten(1, 2)
            return self._members(weights, near, rows)

        return conservative_output(
            atom_values, batch, members, stress=stress, create_graph=create_graph
        )
