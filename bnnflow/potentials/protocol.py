"""What every potential offers, whatever network is inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.layout import ParameterLayout
from bnnflow.records import Structure


class Output(NamedTuple):
    """What a potential gives for k members and B graphs of at most n atoms.

    energy: (k, B) eV without the energies of the elements (`GraphBatch.atomic_energy` holds those
    in float64); forces: (k, B, n, 3) eV/Å; stress: (k, B, 6) eV/Å³ or None;
    force_std: (k, B, n) eV/Å, the same for the three components of an atom.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    force_std: Tensor


class Potential(Protocol):
    """A stochastic potential as a function of a flat parameter vector.

    elements: atomic numbers it knows; cutoff: Å; conservative: forces are the energy's gradient;
    has_stress: gives a stress for periodic cells; exactly_equivariant: rotating the atoms rotates
    the forces to rounding; layout: names, shapes and offsets in the flat vector.
    """

    elements: tuple[int, ...]
    cutoff: float
    conservative: bool
    has_stress: bool
    exactly_equivariant: bool
    layout: ParameterLayout
    dtype: torch.dtype

    def to(self, device: torch.device) -> Potential:
        """Move its fixed tensors to a device; returns itself."""
        ...

    def prior_mean(self) -> Tensor:
        """(P,) pre-trained weights, and zero for the added heads."""
        ...

    def start(self, generator: torch.Generator) -> Tensor:
        """(P,) pre-trained weights, and heads drawn so that sigma starts at s0 everywhere."""
        ...

    def heads(self) -> Tensor:
        """(P,) True for the parameters of added heads, which were not pre-trained."""
        ...

    def force_scale(self) -> Tensor:
        """(P,) True for the parameter that is added to log sigma of every atom."""
        ...

    def active(self, elements: tuple[int, ...]) -> Tensor:
        """(P,) True where a parameter acts on systems of these elements only."""
        ...

    def atomic_energy(self, number: int) -> float:
        """What an element adds to every energy, eV: that of an isolated atom, or a reference's."""
        ...

    def collate(self, structures: Sequence[Structure]) -> GraphBatch:
        """Padded graphs of some structures, with all that `evaluate` needs of them.

        Raises StructureError for an element the potential lacks.
        """
        ...

    def at_once(self, batch: GraphBatch) -> int:
        """How many evaluations may go side by side, each of one member on one frame of a batch and
        to be differentiated by its parameters; bounds the memory."""
        ...

    def evaluate(
        self, parameters: Tensor, batch: GraphBatch, *, stress: bool, create_graph: bool
    ) -> Output:
        """Evaluate k members (k, P) on a batch, shared (B, ...) or one per member (k, B, ...)."""
        ...
