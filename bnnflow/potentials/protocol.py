"""What every potential offers, whatever network is inside."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.layout import ParameterLayout


class Output(NamedTuple):
    """What a potential gives for k members and B graphs of at most n atoms.

    energy: (k, B) eV without the isolated-atom energies (`GraphBatch.atomic_energy` holds those
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
        """Isolated-atom energy of an element, eV."""
        ...

    def evaluate(
        self, parameters: Tensor, batch: GraphBatch, *, stress: bool, create_graph: bool
    ) -> Output:
        """Evaluate k members (k, P) on a batch, shared (B, ...) or one per member (k, B, ...)."""
        ...
