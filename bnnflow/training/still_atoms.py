"""Atoms on sites of such symmetry that no potential gives them a force.

All atoms of a perfect crystal are, and a run often starts from one. Their forces agree whatever the
weights are, and say nothing of how well a network follows forces; taken as data they pull the force
noise to zero.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from bnnflow.potentials import Potential
from bnnflow.training.posterior import LabelledSet

SMALLEST = 1e-3
"""eV/Å, below which a force is one that symmetry forbids, with the rounding of a code. An atom that
moves has more: for both forces of one to be this small by chance takes some 1e6 labels."""


def without_still_atoms(data: LabelledSet, potential: Potential) -> LabelledSet:
    """The same labels, less the forces that both they and the foundation model put at zero.

    Labels alone do not tell: they are as small for a molecule that is relaxed, and there they say
    where the model's minimum should be.
    """
    still = _small(data.forces) & data.graphs.mask.bool()
    frames = still.any(-1).nonzero().flatten()
    if not len(frames):
        return data
    predicted = potential.evaluate(
        potential.prior_mean().to(data.forces).unsqueeze(0),
        data.graphs.take(frames.unsqueeze(0)),
        stress=False,
        create_graph=False,
    )
    still[frames] &= _small(predicted.forces[0].detach())
    return replace(data, force_mask=data.force_mask * ~still)


def _small(forces: Tensor) -> Tensor:
    """(N, n) of forces (N, n, 3)."""
    return forces.square().sum(-1) < SMALLEST**2
