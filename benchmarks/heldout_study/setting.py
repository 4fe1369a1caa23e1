"""What one run of the study is: model, prior, likelihood, budget and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.bayes import GaussianPrior, MinibatchSampler
from bnnflow.potentials import Potential, load_potential
from bnnflow.records import Label, PotentialSpec
from bnnflow.training.moved import stream
from bnnflow.training.posterior import LabelledSet, Posterior


@dataclass(frozen=True)
class Setting:
    """The same for every method, so that budgets are equal.

    chains: k, members of the ensemble; steps, batch: gradient steps of each chain per update, and
    frames per step; prior_std: sigma_TL; energy_std: of the likelihood, eV.
    """

    model: str
    chains: int
    steps: int
    batch: int
    prior_std: float
    energy_std: float
    seed: int
    dtype: str = "float32"

    @property
    def spec(self) -> PotentialSpec:
        """The potential, on the CPU."""
        return PotentialSpec(self.model, dtype=self.dtype)

    def potential(self) -> Potential:
        """The loaded potential; loading it again costs nothing."""
        return load_potential(self.spec)

    def heads(self) -> Tensor:
        """(k, P): pre-trained weights with a force-std head of its own for each member."""
        streams = [stream(self.seed, "head", chain) for chain in range(self.chains)]
        return torch.stack([self.potential().start(generator) for generator in streams])

    def draws(self, n_data: int, *names: str | int, chains: int) -> MinibatchSampler:
        """Minibatches of `chains` chains, each from a stream of its own."""
        streams = [stream(self.seed, "batch", *names, chain) for chain in range(chains)]
        return MinibatchSampler(n_data=n_data, batch=self.batch, generators=streams)

    def posterior(self, labels: Sequence[Label], energy_shift: float) -> Posterior:
        """The posterior that every method approximates: same likelihood, same prior."""
        potential = self.potential()
        elements = sorted({int(z) for label in labels for z in label.structure.numbers})
        mean, active = potential.prior_mean(), potential.active(tuple(elements))
        return Posterior(
            potential=potential,
            data=LabelledSet.of(potential, labels, energy_shift=energy_shift),
            base=mean,
            active=active,
            prior=GaussianPrior.of(mean[active], self.prior_std),
            energy_std=self.energy_std,
        )
