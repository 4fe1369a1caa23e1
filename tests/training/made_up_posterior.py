"""A posterior over ragged, partly periodic, made-up labels; its density written out by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import norm
from tiny_mace import Tiny, crystal, molecules

from bnnflow.bayes import GaussianPrior, Minibatch
from bnnflow.records import Label, Structure
from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.units import STRESS_STD

PRESENT = (1, 6, 8)
ENERGY_STD, PRIOR_STD, SHIFT = 0.02, 0.5, -7.25
CHAINS = 2


def label_of(structure: Structure, atomic: float, seed: int, *, stress: bool = False) -> Label:
    """Made-up numbers; energy: the isolated atoms', the shift taken off, and a little."""
    rng = np.random.default_rng(seed)
    energy = atomic - SHIFT + 0.3 * rng.normal()
    forces = 0.3 * rng.normal(size=structure.positions.shape)
    components = 0.01 * rng.normal(size=6) if stress else None
    return Label(structure, energy, forces, components, "made up", "", 0.0, "")


def ragged_labels(tiny: Tiny) -> list[Label]:
    """Molecules without stress and a crystal of C, H, O with one."""
    oxide = replace(crystal(), numbers=np.array([6, 1, 8, 8]))
    structures = [*molecules(), oxide]
    batch = tiny.batch(structures)
    return [
        label_of(structure, batch.atomic_energy[row].item(), row, stress=bool(structure.pbc.all()))
        for row, structure in enumerate(structures)
    ]


def posterior_of(tiny: Tiny, labels: list[Label]) -> Posterior:
    mean, active = tiny.potential.prior_mean(), tiny.potential.active(PRESENT)
    return Posterior(
        potential=tiny.potential,
        data=LabelledSet.of(tiny.potential, labels, energy_shift=SHIFT),
        base=mean,
        active=active,
        prior=GaussianPrior.of(mean[active], PRIOR_STD),
        energy_std=ENERGY_STD,
    )


def whole(posterior: Posterior) -> Minibatch:
    index = torch.arange(len(posterior.data)).expand(CHAINS, -1)
    return Minibatch(index, torch.ones(index.shape))


def frame_nll(tiny: Tiny, member: torch.Tensor, label: Label) -> float:
    """-log likelihood of one label under one member (P,), evaluated alone, by SciPy's normal."""
    batch = tiny.batch([label.structure])
    periodic = label.stress is not None
    output = tiny.potential.evaluate(member[None], batch, stress=periodic)
    energy = output.energy[0, 0].item() + batch.atomic_energy[0].item()
    std = output.force_std[0, 0].detach().numpy()[:, None]
    log_density = norm.logpdf(label.energy + SHIFT, energy, ENERGY_STD)
    log_density += norm.logpdf(label.forces, output.forces[0, 0].numpy(), std).sum()
    if output.stress is not None:
        log_density += norm.logpdf(label.stress, output.stress[0, 0].numpy(), STRESS_STD).sum()
    return -float(log_density)


def negative_log_posterior(
    tiny: Tiny, posterior: Posterior, labels: list[Label], theta: torch.Tensor
) -> np.ndarray:
    """(k,) for chains (k, n_active), up to a constant."""
    values = []
    for row in theta:
        member = tiny.potential.prior_mean()
        member[posterior.active] = row
        prior = -norm.logpdf(row.numpy(), posterior.prior.mean.numpy(), PRIOR_STD).sum()
        values.append(prior + sum(frame_nll(tiny, member, label) for label in labels))
    return np.array(values)
