"""Samplers that were tried and did not become the default: a stochastic-gradient thermostat, SGHMC
that starts hot, and SGHMC in cycles.

They live here because no part of bnnflow calls them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from draws import Sampled, Sampler, begin, generators, joint_draws, normal
from known_posteriors import KnownPosterior
from torch import Tensor

from bnnflow.bayes import MinibatchSampler, run_chains
from bnnflow.bayes.schedules import cosine_step_sizes


@dataclass(frozen=True)
class Sgnht:
    """Stochastic-gradient Nose-Hoover thermostat in whitened parameters, of unit mass.

        p <- p - h grad U - xi h p + sqrt(2 A h) n,  phi <- phi + h p,  xi <- xi + h (p^2 / P - 1)

    xi starts at A and soaks up the noise of minibatches, as long as it is the same in every
    direction. Source: Ding et al., NeurIPS 27 (2014), algorithm 2.
    """

    steps: int
    batch: int
    step_size: float
    diffusion: float

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        draws = joint_draws(chains, 5, update)
        phi = begin(problem, chains, previous)
        batches = MinibatchSampler(
            n_data=problem.n_frames, batch=self.batch, generators=generators(chains, 6, update)
        )
        h, size = self.step_size, phi.shape[1]
        momentum = normal(size, draws)
        friction = torch.full((chains, 1), self.diffusion, dtype=torch.float64)
        scale = problem.n_frames * problem.prior_std
        for _ in range(self.steps):
            slope = scale * problem.gradient(problem.theta(phi), batches.draw())
            noise = math.sqrt(2.0 * self.diffusion * h) * normal(size, draws)
            momentum = momentum * (1.0 - h * friction) - h * slope + noise
            phi = phi + h * momentum
            friction = friction + h * (momentum.square().mean(-1, keepdim=True) - 1.0)
        return Sampled(phi, self.steps * min(self.batch, problem.n_frames))


@dataclass(frozen=True)
class Tempered:
    """SGHMC with the published step sizes that starts hot and cools to 1 by half-time.

    hottest: temperature of the first step, falling by the same factor every step.
    """

    steps: int
    batch: int
    hottest: float
    step_size: float = 1e-3
    freeze_mass: float = 1.0

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        cooled = torch.arange(self.steps, dtype=torch.float64) / (0.5 * self.steps)
        report = run_chains(
            problem.theta(begin(problem, chains, previous)),
            problem.gradient,
            n_data=problem.n_frames,
            batch=self.batch,
            step_sizes=cosine_step_sizes(n_steps=self.steps, initial=self.step_size),
            temperatures=self.hottest ** (1.0 - cooled).clamp(min=0.0),
            freeze_mass_at=max(1, round(self.freeze_mass * self.steps)),
            friction=0.1,
            decay=0.999,
            epsilon=1e-4,
            noise_generators=generators(chains, 7, update),
            batch_generators=generators(chains, 8, update),
        )
        phi = (report.position - problem.prior_mean) / problem.prior_std
        return Sampled(phi, self.steps * min(self.batch, problem.n_frames))


@dataclass(frozen=True)
class Cycles:
    """One update made of several: `first` once, then `later`, each from the samples before.

    A `later` with a small step size and noise from its first step on restarts cold (mass and
    momentum anew) without a kick.
    """

    first: Sampler
    later: Sampler
    cycles: int

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        phi, cost = previous, 0
        for cycle in range(self.cycles):
            sampler = self.first if phi is None else self.later
            found = sampler(problem, chains, phi, update * self.cycles + cycle)
            phi, cost = found.phi, cost + found.cost
        return Sampled(begin(problem, chains, phi), cost)
