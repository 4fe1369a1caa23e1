"""How the width of the prior differs from weight to weight.

Most of what an isotropic prior lets predictions spread by goes into a few directions that shift
the energy as a whole, through weights on which everything depends; the many weights in which two
levels of theory may differ are held as tightly. So the std of a weight goes with its sensitivity g,
the root mean square derivative of energies and forces by it, as g^-power. At power 0 all have one
width; at 1 each of them would move predictions by as much, which makes the insensitive ones so wide
that the network is not linear any more in any sense and is lost. An optimiser whose steps are
divided by the gradients' root mean square, as SGHMC's are, moves weights like power 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bnnflow.potentials import Potential
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.records import Structure
from bnnflow.units import from_kcal_per_mol

FRAMES = 8
RATTLE = 0.05
"""Å, std of the displacements that turn one structure into frames; of the order of 300 K's."""
PROBES = 4
"""Random combinations of the forces of a frame, instead of all of them."""
ENERGY_UNIT = from_kcal_per_mol(1.0)
FORCE_UNIT = from_kcal_per_mol(5.0)
"""eV and eV/Å: errors of energies and forces that count the same."""
LEAST_SENSITIVE = 0.03
"""Of the weights' root mean square sensitivity; less counts as this, so that no weight is more than
4 times (power 0.4) as wide as one of that sensitivity."""


def prior_shape(
    potential: Potential, structures: Sequence[Structure], *, power: float, seed: int = 0
) -> Tensor:
    """(P,) float64: std of every parameter over sigma_TL; 1 for heads and absent elements.

    structures: one of every composition, from which the frames are made; power: 0 gives ones
    throughout. A weight's sensitivity is that in the compositions whose elements it acts on, so
    that a rare element does not have wide weights for being rare. The factor is such that energies
    and forces spread, to first order, as under an isotropic prior of sigma_TL. The result follows
    from the model, the structures and the seed.
    """
    mean = potential.prior_mean()
    shape = torch.ones(mean.shape, dtype=torch.float64)
    if not power:
        return shape
    acts = torch.stack([_active(potential, structure) for structure in structures])
    weights = acts.any(0) & ~potential.heads().cpu()
    slopes = [mean_square_slopes(potential, each, seed=seed).cpu() for each in structures]
    squares = ((torch.stack(slopes) * acts).sum(0) / acts.sum(0).clamp(min=1))[weights]
    relative = squares.clamp(min=LEAST_SENSITIVE**2 * squares.mean()) ** (-0.5 * power)
    spread = (squares.sum() / (relative.square() * squares).sum()).sqrt()
    shape[weights] = spread * relative
    return shape


def _active(potential: Potential, structure: Structure) -> Tensor:
    """(P,) bool: parameters that act on the elements of a structure."""
    return potential.active(tuple(sorted({int(z) for z in structure.numbers}))).cpu()


def mean_square_slopes(potential: Potential, structure: Structure, *, seed: int) -> Tensor:
    """(P,) float64: estimate of the mean square, over energies and force components of frames
    around a structure, of their derivatives by every parameter; on the potential's device."""
    stream = torch.Generator().manual_seed(seed)
    frames = displaced(structure, stream)
    mean = potential.prior_mean()
    batch = graph_batch(potential, frames).to(mean.device)
    rows = FRAMES * (1 + structure.positions.size)
    return sum(
        (_squares(potential, mean, batch, frame, stream) for frame in range(FRAMES)),
        start=torch.zeros_like(mean, dtype=torch.float64),
    ).div(rows)


def displaced(structure: Structure, stream: torch.Generator) -> list[Structure]:
    """`FRAMES` frames around a structure, as MD will make them."""
    return [_rattled(structure, stream) for _ in range(FRAMES)]


def _rattled(structure: Structure, stream: torch.Generator) -> Structure:
    moves = torch.randn(structure.positions.shape, generator=stream, dtype=torch.float64)
    return replace(structure, positions=structure.positions + RATTLE * moves.numpy())


def _squares(
    potential: Potential, mean: Tensor, batch: GraphBatch, frame: int, stream: torch.Generator
) -> Tensor:
    """(P,) squared derivatives of one frame's energy and, expected over signs, of its forces.

    A sum of rows with random signs has, on average, the sum of their squares as its square.
    """
    leaf = mean.expand(1 + PROBES, -1).clone().requires_grad_(True)
    index = torch.full((1 + PROBES, 1), frame, device=mean.device)
    output = potential.evaluate(leaf, batch.take(index), stress=False, create_graph=True)
    forces = output.forces[:, 0]
    signs = 2.0 * torch.randint(0, 2, (*forces.shape[1:], PROBES), generator=stream) - 1.0
    probed = torch.einsum("pax,axp->p", forces[1:], signs.to(forces)) / FORCE_UNIT
    total = output.energy[0, 0] / ENERGY_UNIT + probed.sum()
    (slope,) = torch.autograd.grad(total, leaf)
    weight = torch.tensor([1.0] + PROBES * [1.0 / PROBES], dtype=torch.float64).to(mean.device)
    return weight @ slope.double().square()
