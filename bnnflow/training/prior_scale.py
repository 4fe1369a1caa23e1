"""How wide the prior around a foundation model should be.

The papers' sigma_TL (MACE 0.5, NequIP 0.2, EquiformerV2 0.02 [R26]) follows the scale of the
weights. It was chosen for chains that move a few per cent of it: a sampler that does sample the
prior needs one under which the model is still a model. So sigma_TL, the scale of all stds
(`prior_shape` says how they differ), is half the weights' root mean square at most, and no wider
than gives forces that spread by the error one expects of the foundation model. The head of the
force std was not pre-trained: its prior is as wide as lets it double or halve s0 before any data.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.potentials import Potential
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.records import Structure
from bnnflow.training.compositions import one_of_each
from bnnflow.training.prior_shape import displaced, prior_shape

SHARE_OF_WEIGHTS = 0.5
"""sigma_TL over the root mean square of the weights: the papers' MACE value."""
SMALLEST_SHARE = 1e-4
"""Where the search for a width begins, relative to the largest."""
LOG_STD_SPREAD = math.log(2.0)
"""Spread of log(sigma / s0) under the head's prior."""
LARGEST_HEAD_STD = 1.0
DRAWS = 8
BISECTIONS = 12


@dataclass(frozen=True)
class SuggestedPrior:
    """std: sigma_TL of the weights; head_std: of the parameters of the force-std head;
    force_spread: root mean square deviation, eV/Å, of the forces of draws from the prior from the
    foundation model's; weight_scale: root mean square of the weights."""

    std: float
    head_std: float
    force_spread: float
    weight_scale: float


def suggest_prior_std(
    potential: Potential,
    structures: Sequence[Structure],
    *,
    force_spread: float,
    power: float = 0.0,
    seed: int = 0,
) -> SuggestedPrior:
    """The widest prior whose draws spread the forces by no more than `force_spread`, eV/Å.

    structures: frames on which the spread is taken, of the elements to be simulated; periodic ones
    are displaced first, for on the sites of a crystal no weights make a force. power: of the
    prior's shape (`prior_shape`), which is that of one frame of every composition. The result
    follows from the model, the frames and the seed.
    """
    batch = graph_batch(potential, _with_forces(structures, seed))
    elements = sorted({int(z) for structure in structures for z in structure.numbers})
    active = potential.active(tuple(elements))
    mean = potential.prior_mean()
    heads = potential.heads()
    shape = prior_shape(potential, one_of_each(structures), power=power).to(mean)
    drawn = torch.randn(DRAWS, len(mean), generator=torch.Generator().manual_seed(seed)).to(mean)
    outputs = functools.partial(potential.evaluate, batch=batch, stress=False, create_graph=False)
    centre = outputs(mean.unsqueeze(0))

    def forces(std: float) -> float:
        moved = outputs(mean + std * shape * drawn * (active & ~heads)).forces - centre.forces
        return _rms(moved, batch.mask.unsqueeze(-1))

    def log_std(std: float) -> float:
        moved = outputs(mean + std * drawn * heads).force_std / centre.force_std
        return _rms(moved.log(), batch.mask)

    weights = mean[active & ~heads]
    scale = float(weights.square().mean().sqrt())
    std = _widest(forces, largest=SHARE_OF_WEIGHTS * scale, limit=force_spread)
    head_std = _widest(log_std, largest=LARGEST_HEAD_STD, limit=LOG_STD_SPREAD)
    return SuggestedPrior(std, head_std, forces(std), scale)


def _with_forces(structures: Sequence[Structure], seed: int) -> list[Structure]:
    stream = torch.Generator().manual_seed(seed)
    frames = [displaced(each, stream) if each.pbc.any() else [each] for each in structures]
    return [frame for group in frames for frame in group]


def _rms(values: Tensor, mask: Tensor) -> float:
    """Root mean square over members and real atoms; infinite where it is not a number."""
    kept = (values.detach() * mask).square()
    mean = kept.sum() / mask.expand(kept.shape).sum()
    return float(mean.sqrt()) if bool(torch.isfinite(mean)) else math.inf


def _widest(spread: Callable[[float], float], *, largest: float, limit: float) -> float:
    """Bisection in the logarithm, to two digits: more would pretend to mean something."""
    if spread(largest) <= limit:
        return _rounded(largest)
    low, high = math.log(SMALLEST_SHARE * largest), math.log(largest)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if spread(math.exp(middle)) <= limit:
            low = middle
        else:
            high = middle
    return _rounded(math.exp(low))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
