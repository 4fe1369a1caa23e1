"""Conditioning and HMC as an update of the run does them, and with other metrics for HMC."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from draws import Sampled, Sampler, joint_draws, normal
from known_posteriors import KnownPosterior
from torch import Tensor

from bnnflow.bayes import Conditioned, JointDraws, LowRankMetric, condition, run_hmc

ENSEMBLE = 8
"""Chains of a run, which draw jointly."""


@dataclass(frozen=True)
class Rto:
    """A draw of the prior conditioned on all labels, or the samples before, then HMC.

    together: chains that draw jointly.
    """

    trajectories: int
    leapfrog_steps: int = 5
    max_jacobians: int = 10
    max_steps: int = 40
    together: int = ENSEMBLE

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        draws = joint_draws(chains, 3, update, together=self.together)
        found = self.conditioned(problem, previous, draws)
        sampled = Sampled(found.position, conditioning_cost(problem, found))
        if not self.trajectories:
            return sampled
        lengths = (self.trajectories, self.leapfrog_steps)
        return moved(problem, sampled, found.metric, *lengths, draws)

    def conditioned(
        self,
        problem: KnownPosterior,
        previous: Tensor | None,
        draws: list[JointDraws],
    ) -> Conditioned:
        """What HMC starts from."""
        if previous is None:
            start = normal(len(problem.prior_mean), draws)
            target = normal(problem.labels.numel(), draws)
        else:  # every label is known: nothing to condition on
            start, target = previous, problem.residual(previous)
        return condition(
            problem, start, target, max_jacobians=self.max_jacobians, max_steps=self.max_steps
        )


@dataclass(frozen=True)
class RtoForeign:
    """The same start, then HMC in metrics that do not know where their chain is.

    The Metropolis test of HMC is exact for a given metric. One taken where the chain happens to be
    is not given: a chain leaves a wide place by long moves, and comes back by the short ones of a
    narrow place. moves: (`neighbour` or `prior`, trajectories, steps of each), in turn;
    together: chains that draw jointly.
    """

    moves: tuple[tuple[str, int, int], ...]
    together: int = ENSEMBLE

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        draws = joint_draws(chains, 3, update, together=self.together)
        found = Rto(trajectories=0).conditioned(problem, previous, draws)
        sampled = Sampled(found.position, conditioning_cost(problem, found))
        metrics = {"neighbour": next_chains(found.metric), "prior": prior_metric(found.metric)}
        for name, trajectories, steps in self.moves:
            sampled = moved(problem, sampled, metrics[name], trajectories, steps, draws)
        return sampled


def independent(sampler: Sampler) -> Sampler:
    """The same with chains that draw by themselves, as R-hat supposes."""
    return replace(sampler, together=1) if isinstance(sampler, Rto | RtoForeign) else sampler


def next_chains(metric: LowRankMetric) -> LowRankMetric:
    """To every chain the metric of another one."""
    return LowRankMetric(metric.jacobian.roll(1, 0), metric.cholesky.roll(1, 0))


def prior_metric(like: LowRankMetric) -> LowRankMetric:
    """The covariance of the prior, which is 1 here."""
    return LowRankMetric.of(torch.zeros_like(like.jacobian[:, :1]))


def conditioning_cost(problem: KnownPosterior, found: Conditioned) -> int:
    """Per-frame gradients; a row of a Jacobian counts as one."""
    return found.jacobians * problem.labels.numel() + found.gradients * problem.n_frames


def moved(
    problem: KnownPosterior,
    start: Sampled,
    metric: LowRankMetric,
    trajectories: int,
    leapfrog_steps: int,
    draws: list[JointDraws],
) -> Sampled:
    """Some HMC from samples, its cost added to theirs."""
    report = run_hmc(
        problem.density,
        start.phi,
        metric,
        trajectories=trajectories,
        leapfrog_steps=leapfrog_steps,
        draws=draws,
    )
    steps = trajectories * leapfrog_steps + 1
    return Sampled(report.position, start.cost + steps * problem.n_frames)
