"""Every potential there is, in float64, with molecules and crystals to try it on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from tiny_mace import Tiny, crystal, molecules, rattled

from bnnflow.potentials import Output, Potential, load_potential
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.records import PotentialSpec, Structure

HAS_CHGNET = importlib.util.find_spec("chgnet") is not None
NEEDS_CHGNET = pytest.mark.skipif(
    not HAS_CHGNET, reason='the package chgnet is not installed: pip install "bnnflow[chgnet]"'
)


@dataclass(frozen=True)
class Case:
    """A potential, and what it is tried on; scatter: std of members' weights around its own."""

    potential: Potential
    molecules: tuple[Structure, ...]
    crystals: tuple[Structure, ...]
    scatter: float = 0.05

    @property
    def structures(self) -> tuple[Structure, ...]:
        return (*self.molecules, *self.crystals)

    def members(self, k: int, *, seed: int = 1) -> torch.Tensor:
        """(k, P) parameters scattered around a start, heads included."""
        generator = torch.Generator().manual_seed(seed)
        start = self.potential.start(generator)
        noise = torch.randn(k, len(start), generator=generator, dtype=start.dtype)
        return start + self.scatter * noise

    def evaluate(
        self, parameters: torch.Tensor, structures: Sequence[Structure], *, stress: bool = False
    ) -> Output:
        batch = self.potential.collate(structures)
        return self.potential.evaluate(parameters, batch, stress=stress, create_graph=False)

    def gradient(self, parameters: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Of a number in which all predictions are."""
        leaf = parameters.clone().requires_grad_(True)
        return torch.autograd.grad(self.loss(leaf, batch), leaf)[0]

    def loss(self, parameters: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Every prediction squared, in units that make them count about alike."""
        stress = self.potential.has_stress and bool((batch.volume != 1.0).all())
        output = self.potential.evaluate(
            parameters, batch, stress=stress, create_graph=parameters.requires_grad
        )
        mask = batch.mask
        total = output.energy.square().sum() + (output.forces.square().sum(-1) * mask).sum()
        total = total + ((output.force_std / 0.004).log().square() * mask).sum()
        return total if output.stress is None else total + 1e4 * output.stress.square().sum()


def _tiny_mace() -> Case:
    with TemporaryDirectory() as folder:
        potential = Tiny("8x0e+8x1o", Path(folder)).potential
    return Case(potential, tuple(molecules()), (crystal(),), scatter=0.1)


def _chno_small() -> Case:
    potential = load_potential(PotentialSpec("chno-small", dtype="float64"))
    return Case(potential, tuple(molecules()), (crystal(),))


def _chgnet() -> Case:
    potential = load_potential(PotentialSpec("chgnet", dtype="float64"))
    return Case(potential, tuple(molecules()), (silicon(), magnesia(), perovskite()))


def silicon() -> Structure:
    """Si2, off its sites."""
    return rattled(bulk("Si"), seed=1, scale=0.05)


def magnesia() -> Structure:
    """MgO in a cell of two atoms, all neighbours are images; angles of 180 degrees."""
    return Structure.from_atoms(bulk("MgO", "rocksalt", a=4.21))


def perovskite() -> Structure:
    """CaTiO3 in a skewed cell, off its sites."""
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = np.array([[3.9, 0.1, 0.0], [0.0, 3.8, 0.2], [-0.1, 0.0, 4.0]])
    return rattled(Atoms("CaTiO3", scaled_positions=places, cell=cell, pbc=True), seed=2)


POTENTIALS: dict[str, Callable[[], Case]] = {
    "mace": cache(_tiny_mace),
    "chno-small": cache(_chno_small),
    "chgnet": cache(_chgnet),
}
NAMES = [pytest.param(n, marks=NEEDS_CHGNET if n == "chgnet" else ()) for n in POTENTIALS]
